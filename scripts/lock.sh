#!/usr/bin/env bash
# Write requirements/: versions and hashes for every platform and Python, no index address.
# A file holds what its extra adds to the files below it; service.lock is that of no extra.
# With --keep, only pin what pyproject.toml has gained; every version stays that is locked already.
set -euo pipefail
cd "$(dirname "$0")/.."
upgrade=--upgrade
[ "${1:-}" != --keep ] || upgrade=
.venv/bin/python -m pip install --quiet uv

compile() {
  .venv/bin/uv pip compile --quiet $upgrade --universal --python-version 3.11 --generate-hashes \
    --no-header --no-annotate "$@"
}

# lock NAME "EXTRA ..." LOCK...: what the extras need beyond the locks of these names
lock() {
  local file=requirements/$1.lock extra words=()
  for extra in $2; do words+=(--extra "$extra"); done
  shift 2
  local below=("${@/#/requirements/}")
  below=("${below[@]/%/.lock}")
  compile pyproject.toml "${words[@]}" "${below[@]/#/--constraint=}" -o "$file"
  [ $# = 0 ] || awk -v last="$file" 'FILENAME != last { if (/^[^ ]/) seen[$0]; next }
    /^[^ ]/ { kept = !($0 in seen) } kept' "${below[@]}" "$file" > "$file.new"
  [ $# = 0 ] || mv "$file.new" "$file"
}

lock service ""
lock pipeline "pipeline report tune" service
lock spark "pipeline report tune spark" service pipeline
lock dev dev service pipeline spark
for kind in s3 gs azure ssh; do lock "$kind" "pipeline report tune $kind" service pipeline; done
lock bench bench service pipeline spark dev s3
# pybind11: hnswlib, among the peers of the benchmarks, has no wheels.
printf 'setuptools\npybind11\n' | compile - --constraint=requirements/bench.lock -o requirements/build.lock
