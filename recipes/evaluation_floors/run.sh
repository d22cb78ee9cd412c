#!/usr/bin/env bash
# Print the calibration table of each embedding.   ./run.sh NOTES DRUMS WORK
set -euo pipefail
here=$(dirname "$0") notes=${1:?a folder by notes_vae/render_notes.py} drums=${2:?a folder by drums_vae/collect_drums.py}
work=${3:?a folder for the results}
mkdir -p "$work"
python "$here/floors.py" --notes "$notes" --drums "$drums" --embeddings yamnet log-mel resemblyzer crepe \
  --cache "$work/sounds" --json "$work/floors.json"
# All instruments, for the largest N at which real sounds and copy-synthesis may be told apart.
python "$here/floors.py" --notes "$notes" --drums "$drums" --all --embeddings yamnet --cache "$work/sounds" \
  --json "$work/floors-all.json"
python "$here/novelty_check.py" --notes "$notes"
python "$here/floors.py" --notes "$notes" --embeddings yamnet crepe --speed
python "$here/measures_benchmark.py"
