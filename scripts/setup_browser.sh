#!/usr/bin/env bash
# Find a Chromium and its driver, for the tests that look at pages, or install Debian's as root.
set -euo pipefail

found() {
  command -v chromedriver >/dev/null || return 1
  for name in chromium chromium-browser google-chrome chrome; do
    command -v "$name" >/dev/null && return 0
  done
  return 1
}

found && { echo "setup-browser: Chromium and its driver are there" >&2; exit 0; }
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "error: Chromium or chromedriver is missing; install both (Debian: sudo apt-get install chromium chromium-driver)" >&2
  exit 1
fi
echo "setup-browser: installing chromium and chromium-driver through apt" >&2
{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium chromium-driver; } >/dev/null && found && echo "setup-browser: installed" >&2 || {
  echo "error: apt could not install chromium and chromium-driver; install them by hand" >&2
  exit 1
}
