#!/bin/sh
# A week in service, for cron: train on the plays before FROM, judge by those since, and publish the
# model if it is no worse than the one in service. FOLDER/current is the bundle that is served.
#   sh scripts/weekly.sh FROM [FOLDER [OPTIONS of musicrec compare]]
# Exit status: 0 published, or in service already; 3 not published; else what a step failed with.
# Whenever it is killed, FOLDER/current is a whole bundle, and the next run goes on.
set -eu
from=${1-} folder=${2:-data/published}
if [ "$(date -d "$from" +%F 2> /dev/null)" != "${from:-none}" ]; then
  echo "error: name the first day of the plays that judge, such as 2026-11-23, not '$from'" >&2
  exit 2
fi
shift $(($# < 2 ? $# : 2))
[ $# -gt 0 ] || set -- --fail-on cannot-tell
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
mkdir -p "$folder"
exec 9> "$folder/.lock"
flock -n 9 || { echo "error: another weekly.sh publishes to $folder" >&2; exit 1; }

prune() { # the last KEEP stay; what goes is renamed first, so that no bundle is half of one
  for old in $(ls "$folder" | grep -vx current | sort -r | tail -n +$((${KEEP:-4} + 1))); do
    [ "$old" = "$from" ] || mv "$folder/$old" "$folder/.old-$old"
  done
  rm -rf "$folder"/.old-*
}

champion=$(readlink "$folder/current") || champion=
if [ "$champion" = "$from" ]; then echo "$from is in service"; prune; exit 0; fi
sed -e "s|^  validation_from:.*|  validation_from: '$from'|" \
  -e "s|^  champion:.*|  champion: ${champion:+$folder/$champion}|" params.yaml > params.yaml.new
mv params.yaml.new params.yaml
dvc repro
git add -u
git diff --cached --quiet || git commit -qm "Plays until $from"

status=0
[ -z "$champion" ] || musicrec compare --champion "$folder/$champion" "$@" || status=$?
if [ $status -ne 0 ]; then
  echo "error: $from is not published (exit status $status); $champion stays in service" >&2
  exit $status
fi
musicrec publish "$folder/$from"
rm -f "$folder/.next"
ln -s "$from" "$folder/.next"
mv -T "$folder/.next" "$folder/current" # a rename: there is no moment without it
echo "$from is in service${champion:+, after $champion}"
prune
