"""scripts/weekly.sh over four weeks, killed before every command that it runs.

What the stages would write is made in this process, and the verdict is given.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from musicrec.bundle import load_bundle
from musicrec.bundle.write import export_bundle
from musicrec.params import ExportParams
from tests.support.indexed_data import make_plays, write_factors, write_indexed

ROOT = Path(__file__).resolve().parents[1]
WEEKS = ["2026-11-02", "2026-11-09", "2026-11-16", "2026-11-23"]
WORSE = WEEKS[2]
COMMANDS = ("dvc", "git", "ln", "musicrec", "mv", "rm", "sed")
# Stands for each command: counts, and is killed with the script before the KILL-th; an `rm` midway.
STEP = """#!/bin/sh
echo x >> count
if [ "$(wc -l < count)" -eq "$KILL" ]; then
  case "$0 $*" in *rm\\ -rf*) for old; do find "$old" -name '*.npy' -delete; done;; esac
  kill -9 0
fi
week=$(awk '/validation_from/ {print $2}' params.yaml | tr -d "'")
case "${0##*/} $*" in
  "dvc repro") /bin/rm -rf bundle; cp -r "weeks/$week/bundle" bundle;;
  "musicrec compare "*) echo "$*" >> said; exit "$(cat "weeks/$week/status")";;
  "musicrec publish "*) /bin/rm -rf new "$2"; cp -r bundle new; /bin/mv new "$2";;
  "git diff"*) exit 1;;
  git*|dvc*|musicrec*) ;;
  *) PATH=/bin:/usr/bin exec "${0##*/}" "$@";;
esac
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """Four weeks, each with the bundle trained before it and the status of its gate."""
    root = tmp_path_factory.mktemp("checkout")
    plays = make_plays()
    for number, week in enumerate(WEEKS):
        folder = root / "weeks" / week
        write_indexed(folder / "indexed", plays)
        write_factors(folder / "factors", plays.users, plays.items * (1 + number))
        export_bundle(
            folder / "indexed", folder / "factors", folder / "bundle", ExportParams(n_trees=1)
        )
        (folder / "status").write_text("3" if week == WORSE else "0")
    (root / "bin").mkdir()
    (root / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/weekly.sh", root / "scripts")
    for name in COMMANDS:
        (root / "bin" / name).write_text(STEP)
        (root / "bin" / name).chmod(0o755)
    return root


def run(root, week, kill=0):
    (root / "count").write_text("")
    return subprocess.run(
        ["sh", "scripts/weekly.sh", week, "served"],
        cwd=root,
        env={"PATH": f"{root}/bin:{os.environ['PATH']}", "KILL": str(kill), "KEEP": "2"},
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )


def served(root):
    """The week of the bundle in service, which is whole."""
    current = root / "served/current"
    load_bundle(current)
    return str(current.readlink())


@pytest.mark.skipif(shutil.which("flock") is None, reason="needs flock")
def test_four_weeks_killed_in_every_step_serve_one_whole_bundle(checkout):
    shutil.copy(ROOT / "params.yaml", checkout)
    for day in ("", "2026-13-01", "soon"):
        assert "error: name the first day of the plays that judge" in run(checkout, day).stderr
    assert (checkout / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()
    before = None
    for week in WEEKS:
        kill, after = 0, before if week == WORSE else week
        while True:
            kill += 1
            done = run(checkout, week, kill)
            if done.returncode != -9:
                break
            if (checkout / "served/current").is_symlink():
                assert served(checkout) in (before, after)
            else:
                assert before is None
        assert kill > 6, done.stderr  # every command was reached
        assert served(checkout) == after
        if week == WORSE:
            assert done.returncode == 3
            assert f"{week} is not published (exit status 3); {before} stays" in done.stderr
        before = after
    params = (checkout / "params.yaml").read_text()
    assert f"validation_from: '{WEEKS[3]}'" in params
    assert f"champion: served/{WEEKS[1]}\n" in params
    assert {path.name for path in (checkout / "served").iterdir()} == {
        "current",
        ".lock",
        WEEKS[1],
        WEEKS[3],
    }
    said = (checkout / "said").read_text().splitlines()
    assert f"compare --champion served/{WEEKS[1]} --fail-on cannot-tell" in said
