#!/usr/bin/env bash
# Install what DVC needs to read the project's remote storages. Called by `make setup-remote`.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "setup-remote: $*" >&2; }

# Each line: the remote's name and its address, as DVC reads them from .dvc/config and .dvc/config.local.
remotes=$(.venv/bin/python -m dvc config --list | sed -n 's/^remote\.\(.*\)\.url=/\1 /p')
[ -n "$remotes" ] || { say "no remote storage is set (dvc remote add); nothing to install"; exit 0; }
while read -r name url; do
  case $url in
    s3://*) kind=s3 ;;
    gs://*) kind=gs ;;
    azure://*) kind=azure ;;
    ssh://*) kind=ssh ;;
    http://* | https://*) continue ;; # DVC brings these
    *://*)
      echo "error: remote $name, $url: there is no lock for ${url%%:*}; run .venv/bin/pip install dvc-${url%%:*}" >&2
      exit 1 ;;
    *)
      [ -d "$url" ] || say "remote $name is the folder $url, which this machine does not have." \
        "A CI runner cannot read a folder of another machine: use s3://, gs://, azure:// or ssh://"
      continue ;;
  esac
  say "installing dvc-$kind for the remote $name"
  .venv/bin/python -m pip --disable-pip-version-check -qq install --no-deps --require-hashes -r "requirements/$kind.lock"
done <<< "$remotes"
