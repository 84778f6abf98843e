#!/usr/bin/env bash
# Make .venv with the locked packages. Called by `make setup`; safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "setup: $*" >&2; }
fail() { echo "error: $*" >&2; exit 1; }

# Install Debian packages where that is possible without asking anyone: as root, through apt.
apt_install() {
  local what=$1; shift
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    fail "$what is missing; install it (Debian, Ubuntu: sudo apt-get install $*) and run make again"
  fi
  say "$what is missing: installing $* through apt"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"; } >/dev/null ||
    fail "apt could not install $*; install $what by hand and run make again"
}

python=${PYTHON:-python3}
command -v "$python" >/dev/null || apt_install "Python 3.11 or newer" python3 python3-venv python3-dev
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "$("$python" --version) is too old: Python 3.11 or newer is needed; name it with make PYTHON=..."
"$python" -c 'import ensurepip, venv' 2>/dev/null || apt_install "Python's venv module" python3-venv

PYTHONPATH=src "$python" -c 'from musicrec.spark.java import find_java; find_java()' 2>/dev/null || {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
    fail "$(PYTHONPATH=src "$python" -m musicrec.spark.java 2>&1 >/dev/null | sed 's/^error: //')"
  apt_install "Java 17 or newer" "$(apt-cache show openjdk-17-jre-headless >/dev/null 2>&1 && echo openjdk-17-jre-headless || echo default-jre-headless)"
  PYTHONPATH=src "$python" -m musicrec.spark.java >/dev/null || exit 1
}

# Annoy has no wheels: pip builds it, which takes a C++ compiler and Python's headers.
command -v "${CXX:-c++}" >/dev/null || command -v g++ >/dev/null || apt_install "a C++ compiler" g++
"$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' ||
  apt_install "the header Python.h" python3-dev

say "making .venv (a few minutes the first time)"
[ -x .venv/bin/python ] || "$python" -m venv .venv
pip() { .venv/bin/python -m pip --disable-pip-version-check -qq "$@"; }
pip install --require-hashes -r requirements-build.lock
# Left to itself, Annoy is compiled for this processor, with other bytes in its indexes than on
# another (docs/ann.md). A wheel in pip's cache may be such a one.
export ANNOY_COMPILER_ARGS=-O3,-std=c++14,-fno-fast-math,-ffp-contract=off,-DNO_MANUAL_VECTORIZATION,-DANNOYLIB_MULTITHREADED_BUILD
annoy_build() { PYTHONPATH=src .venv/bin/python -m musicrec.search.annoy_build; }
if ! annoy_build 2>/dev/null; then
  sed -n '/^annoy==/,/[^\\]$/p' requirements.lock >.venv/annoy.lock
  pip install --no-build-isolation --no-deps --force-reinstall --no-cache-dir --no-binary annoy \
    --require-hashes -r .venv/annoy.lock
  annoy_build || true
fi
pip install --no-build-isolation --require-hashes -r requirements.lock
pip install --no-build-isolation --no-deps --editable .
# Where PYTHONDONTWRITEBYTECODE is set, every stage would compile these anew.
.venv/bin/python -m compileall -q src || true
touch .venv/setup-done
say "done; 'source .venv/bin/activate' puts dvc and musicrec on your PATH"
