"""scripts/weekly.sh over four weeks, killed before every command that it runs.

What the stages would write is made in this process, with the verdict of `musicrec compare`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from musicrec.bundle import load_bundle
from musicrec.bundle.write import export_bundle
from musicrec.evaluate.run import evaluate
from musicrec.metrics.definitions import GATES
from musicrec.metrics.intervals import compare_paired
from musicrec.params import EvaluateParams, ExportParams
from tests.support.indexed_data import make_plays, write_baselines, write_factors, write_indexed

ROOT = Path(__file__).resolve().parents[1]
WEEKS = ["2026-11-02", "2026-11-09", "2026-11-16", "2026-11-23"]
WORSE = WEEKS[2]
PARAMS = EvaluateParams(k=(10, 50), bootstrap_samples=200)
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
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four weeks of plays, each with the model trained before it, and the verdict on that."""
    root = tmp_path_factory.mktemp("checkout")
    plays = make_plays()
    pairs = sorted(plays.train)
    champion, week_of = None, {pair: i % 8 for i, pair in enumerate(pairs)}
    for number, week in enumerate(WEEKS):
        folder = root / "weeks" / week
        train = {pair for pair in pairs if week_of[pair] < 4 + number or pair[0] == 299}
        held = {pair for pair in pairs if week_of[pair] == 4 + number and pair[0] != 299}
        write_indexed(
            folder / "indexed",
            replace(plays, train=train, validation=held),
            lambda *pair, n=number, held=held: 10 * (4 + n) + 5 if pair in held else 9,
        )
        noise = np.random.default_rng(number).random(plays.items.shape) * (week == WORSE)
        write_factors(folder / "factors", plays.users, plays.items + noise)
        write_baselines(folder, PARAMS)
        names = [folder / name for name in ("indexed", "factors", "baselines")]
        table = evaluate(*names, PARAMS.replace(champion=champion)).table
        status = 0
        if champion:
            new, old = (
                {"map@50": table.column(name).to_numpy()} for name in ("map@50", "champion_map@50")
            )
            (found,) = compare_paired(old, new, 200, 1, 0.1).values()
            status = 3 if found.verdict in GATES["cannot-tell"] else 0
        assert status == (3 if week == WORSE else 0), found.verdict
        (folder / "status").write_text(str(status))
        export_bundle(*names[:2], folder / "bundle", ExportParams(n_trees=1))
        champion = champion if status else str(folder / "bundle")
    (root / "bin").mkdir()
    (root / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/weekly.sh", root / "scripts")
    for name in COMMANDS:
        (root / "bin" / name).write_text(STEP)
        (root / "bin" / name).chmod(0o755)
    return root


def run(root: Path, week: str, kill: int = 0) -> subprocess.CompletedProcess[str]:
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


def served(root: Path) -> str:
    """The week of the bundle in service, which is whole."""
    current = root / "served/current"
    load_bundle(current)
    return str(current.readlink())


@pytest.mark.skipif(shutil.which("flock") is None, reason="needs flock")
def test_four_weeks_killed_in_every_step_serve_one_whole_bundle(checkout: Path) -> None:
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
