#!/usr/bin/env bash
# Train a GAN on notes named instrument-pitch-velocity, evaluate it, and make clips.   ./run.sh NOTES RUN
set -euo pipefail
here=$(dirname "$0") notes=${1:?a folder of notes} run=${2:?a folder for the run}
audio-gen train "$notes" --model gan --run "$run" --config "$here/config.yaml"
audio-gen evaluate "$notes" "$run" -n 256 --out "$run/evaluation" --force
audio-gen sample "$run" -n 16 --seed 0 --pitch 60 --grid --out "$run/clips" --force
audio-gen interpolate "$run" --from seed:0 --to seed:1 --pitch 60 --steps 8 --out "$run/path" --force
