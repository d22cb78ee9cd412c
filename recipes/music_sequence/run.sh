#!/usr/bin/env bash
# Train a sequence model on music for 30 minutes, and make sounds with it.   ./run.sh TRAIN KEPT_OUT RUN
set -euo pipefail
here=$(dirname "$0") train=${1:?a folder of music} kept_out=${2:?other music} run=${3:?a folder for the run}
audio-gen train "$train" --model sequence --run "$run" --minutes 30 --set data.channels=1
python "$here/figures.py" "$run" --train "$train" --real "$kept_out"
python "$here/continuations.py" "$run" "$kept_out"
python "$here/ways.py" "$run" "$kept_out"
audio-gen sample "$run" --duration 60 -n 16 --vocoder small:2 --out "$run/minutes" --force
python "$here/drift.py" "$kept_out" "$train" "samples=$run/minutes"
audio-gen loop "$run" --bars 4 --bpm 120 -n 8 --out "$run/loops" --force
