"""What a person sees of one change: a small diff, few rows, a table that fits a screen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Clone

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def changed(clone: Clone) -> Iterator[Clone]:
    """The clone after `dvc exp run -S als.rank=5`, not committed; other tests' runs removed."""
    clone.dvc("exp", "remove", "--all-commits")
    clone.dvc("queue", "remove", "--all")
    clone.dvc("exp", "run", "--name", "narrow-model", "-S", "als.rank=5")
    yield clone
    clone.git("checkout", "--quiet", "--", ".")
    clone.git("clean", "-fdq")
    clone.dvc("checkout")


def test_the_diff_of_an_experiment_is_small(changed: Clone) -> None:
    rows = [line.split("\t") for line in changed.git("diff", "--numstat").splitlines()]
    assert len(rows) <= 6, rows
    assert sum(int(added) + int(deleted) for added, deleted, _ in rows) <= 60, rows
    assert changed.git("ls-files", "--others", "--exclude-standard") == ""


def test_it_changes_one_line_of_params(changed: Clone) -> None:
    diff = changed.git("diff", "--unified=0", "--", "params.yaml").splitlines()
    lines = [line for line in diff if re.match(r"[+-](?![+-])", line)]
    assert lines == ["-  rank: 4", "+  rank: 5"]


def test_metrics_diff_is_read_at_a_glance(changed: Clone) -> None:
    rows = changed.run("dvc", "metrics", "diff", "main").stdout.splitlines()[1:]
    assert 0 < len(rows) <= 20
    everything = changed.run("dvc", "metrics", "show").stdout.split()
    numbers = [word for word in everything if re.fullmatch(r"-?[0-9.]+|True|False", word)]
    assert len(numbers) <= 60


def test_exp_show_fits_a_screen(changed: Clone) -> None:
    shown = changed.run("dvc", "exp", "show", "--only-changed").stdout
    assert "narrow-model" in shown and "map@50" in shown
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 160, shown


def test_git_holds_no_picture_and_no_clock(clone: Clone) -> None:
    """Only metrics, which follow from data and parameters, and hashes."""
    written = [
        out
        for stage in clone.lock().values()
        for out in (entry["path"] for entry in stage["outs"])
        if clone.git("ls-files", "--", out)
    ]
    assert written and all(Path(out).parts[0] == "metrics" for out in written)
    for out in written:
        assert "second" not in (clone.folder / out).read_text()
