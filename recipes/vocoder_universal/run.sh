#!/usr/bin/env bash
# The corpus, the vocoder, its figures, and its place in the package: two hours on two cores.   ./run.sh WORK
set -euo pipefail
work=${1:?a folder for corpus and run} here=$(dirname "$0")
[ -d "$work/corpus" ] || python "$here/build_corpus.py" --out "$work/corpus" --minutes 120
audio-gen train "$work/corpus/train" --model vocoder --run "$work/small" --config "$here/small.yaml"
python "$here/benchmark.py" quality --corpus "$work/corpus" --files 17 --vocoder "$work/small" griffinlim:8 --librosa 32 60
python "$here/ship.py" "$work/small" --name small
