#!/usr/bin/env bash
# Train a VAE on notes named instrument-pitch-velocity and measure it on the notes kept out.   ./run.sh NOTES RUN
set -euo pipefail
here=$(dirname "$0") notes=${1:?a folder of notes} run=${2:?a folder for the run}
audio-gen train "$notes" --run "$run" --config "$here/config.yaml"
audio-gen evaluate "$notes" "$run" -n 256 --out "$run/evaluation" --force
python "$here/measure.py" "$notes" "$run" --json "$run/measured.json"
