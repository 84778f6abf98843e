#!/bin/sh
# Run a stage with the Python that has musicrec's packages: MUSICREC_PYTHON where that is set, else
# that of .venv, else `python` or `python3` on PATH. One sentence where none of them has.
#
# DVC runs a stage's command in the login shell of whoever types it, csh and fish too, with whatever
# `python` PATH has first. Nothing here changes an output, so no stage depends on this file.

checkout=$(cd "$(dirname "$0")/.." && pwd)
# A queued experiment runs in a copy below .dvc/tmp, which has no .venv of its own.
home=${checkout%%/.dvc/tmp/*}

# What make setup made and finished needs no look at its packages, which takes as long as to start.
if [ -z "${MUSICREC_PYTHON:-}" ] && [ -x "$home/.venv/bin/python" ] && [ -e "$home/.venv/setup-done" ]; then
  PYTHONPATH="$checkout/src" exec "$home/.venv/bin/python" "$@"
fi

missing='
import importlib.util, sys
if sys.version_info < (3, 11):
    sys.exit("is Python %d.%d, and 3.11 is needed" % sys.version_info[:2])
names = "annoy numba numpy pyarrow pydantic scipy threadpoolctl yaml"
for name in names.split():
    if importlib.util.find_spec(name) is None:
        sys.exit("has no package " + name)
'
tried=
for python in ${MUSICREC_PYTHON:+"$MUSICREC_PYTHON"} "$home/.venv/bin/python" python python3; do
  found=$(command -v "$python") || continue
  if why=$(PYTHONPATH='' "$found" -c "$missing" 2>&1); then
    PYTHONPATH="$checkout/src" exec "$found" "$@"
  fi
  tried="$tried; $found $(echo "$why" | tail -n 1)"
  [ "$python" = "${MUSICREC_PYTHON:-}" ] && break
done
echo "error: no Python with musicrec's packages was found${tried:-; there is no .venv, and no python on PATH}:" \
  "run make setup, or activate the environment that has them" >&2
exit 1
