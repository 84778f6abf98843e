#!/usr/bin/env bash
# Make .venv with the locked packages. Called by `make setup`; safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/apt.sh

python=${PYTHON:-python3}
command -v "$python" >/dev/null || apt_install "Python 3.11 or newer" python3 python3-venv python3-dev
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "$("$python" --version) is too old: Python 3.11 or newer is needed; name it with make PYTHON=..."
"$python" -c 'import ensurepip, venv' 2>/dev/null || apt_install "Python's venv module" python3-venv

# Annoy has no wheels: pip builds it, which takes a C++ compiler and Python's headers.
command -v "${CXX:-c++}" >/dev/null || command -v g++ >/dev/null || apt_install "a C++ compiler" g++
"$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' ||
  apt_install "the header Python.h" python3-dev

say "making .venv (a few minutes the first time)"
[ -x .venv/bin/python ] || "$python" -m venv .venv
pip() { .venv/bin/python -m pip --disable-pip-version-check -qq "$@"; }
pip install --require-hashes -r requirements/build.lock
# Left to itself, Annoy is compiled for this processor, with other bytes in its indexes than on
# another (docs/ann.md). A wheel in pip's cache may be such a one.
export ANNOY_COMPILER_ARGS=-O3,-std=c++14,-fno-fast-math,-ffp-contract=off,-DNO_MANUAL_VECTORIZATION,-DANNOYLIB_MULTITHREADED_BUILD
pip install --no-build-isolation --no-deps --require-hashes -r requirements/service.lock -r requirements/pipeline.lock
check_annoy() { PYTHONPATH=src .venv/bin/python -m musicrec.search.annoy_index; }
if ! check_annoy 2>/dev/null; then
  sed -n '/^annoy==/,/[^\\]$/p' requirements/service.lock >.venv/annoy.lock
  pip install --no-build-isolation --no-deps --force-reinstall --no-cache-dir --no-binary annoy \
    --require-hashes -r .venv/annoy.lock
  check_annoy || true
fi
pip install --no-build-isolation --no-deps --editable .
# Where PYTHONDONTWRITEBYTECODE is set, every stage would compile these anew.
.venv/bin/python -m compileall -q src || true
touch .venv/setup-done
say "done; 'source .venv/bin/activate' puts dvc and musicrec on your PATH"
