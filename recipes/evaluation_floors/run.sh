#!/usr/bin/env bash
# Print the calibration table of each embedding.   ./run.sh NOTES DRUMS WORK
set -euo pipefail
here=$(dirname "$0") notes=${1:?a folder by notes_vae/render_notes.py} drums=${2:?a folder by drums_vae/collect_drums.py}
work=${3:?a folder for the results}
mkdir -p "$work"
python "$here/floors.py" --notes "$notes" --drums "$drums" --embeddings yamnet log-mel resemblyzer crepe \
  --cache "$work/sounds" --json "$work/floors.json"
python "$here/floors.py" --notes "$notes" --embeddings yamnet crepe --speed
