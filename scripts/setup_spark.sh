#!/usr/bin/env bash
# Add PySpark to .venv, and find Java or install it. Called by `make setup-spark`; safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/apt.sh

java() { PYTHONPATH=src .venv/bin/python -m musicrec.spark.java >/dev/null; }
sentence=$(java 2>&1) || {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "$sentence" >&2; exit 1; }
  apt_install "Java 17 or newer" "$(apt-cache show openjdk-17-jre-headless >/dev/null 2>&1 && echo openjdk-17-jre-headless || echo default-jre-headless)"
  java
}
.venv/bin/python -m pip --disable-pip-version-check -qq install --no-build-isolation --no-deps --require-hashes -r requirements/spark.lock
touch .venv/setup-spark-done
