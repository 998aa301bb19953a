#!/usr/bin/env bash
# A small end-to-end `dvc repro` in a clone: every stage runs for real, on four minutes of data and training instead of fifteen.
# Usage: tests/small_repro.sh FOLDER   (an empty folder; `flans` and `dvc` must be on the PATH)
set -euo pipefail
git clone --quiet . "$1/flans"
cd "$1/flans"
export PYTHONPATH=$PWD
flans configure examples/small.yaml
dvc repro
flans summary
[ "$(dvc repro 2>&1 | tail -n 1)" = "Data and pipelines are up to date." ]
flans segment data/raw/phantom/imagesTr/phantom_001_0000.nii "outline the liver" "the largest structure" --out answer
test -s answer/overlay_1.png
