#!/usr/bin/env bash
# Train a GAN on one-shots, in sub-folders or with labels in a CSV, evaluate it, and make clips.   ./run.sh DRUMS RUN [CSV]
set -euo pipefail
here=$(dirname "$0") drums=${1:?a folder of one-shots} run=${2:?a folder for the run} labels=${3:-auto}
audio-gen train "$drums" --model gan --run "$run" --config "$here/config.yaml" --set "data.labels=$labels"
audio-gen evaluate "$drums" "$run" --labels "$labels" -n 256 --out "$run/evaluation" --force
audio-gen sample "$run" -n 16 --seed 0 --grid --out "$run/clips" --force
audio-gen directions "$run" --force
audio-gen sample "$run" -n 4 --seed 0 --move brightness=+1.5 --out "$run/brighter" --force
