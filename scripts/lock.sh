#!/usr/bin/env bash
# Write the lock files: versions and hashes for every platform and Python, no index address.
# With --keep, only pin what pyproject.toml has gained; every version stays that is locked already.
set -euo pipefail
cd "$(dirname "$0")/.."
upgrade=--upgrade
[ "${1:-}" != --keep ] || upgrade=
.venv/bin/python -m pip install --quiet uv
lock() {
  .venv/bin/uv pip compile --quiet $upgrade --universal --python-version 3.11 --generate-hashes \
    --no-header --no-annotate "$@"
}
lock pyproject.toml --extra dev -o requirements.lock
lock pyproject.toml --extra dev --extra bench -c requirements.lock -o requirements-bench.lock
echo 'setuptools' | lock - -c requirements.lock -o requirements-build.lock
