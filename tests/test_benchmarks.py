"""The scripts under benchmarks/ start, and measure what they say."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from musicrec.errors import MusicRecError
from musicrec.interactions.held_out import read_held_out
from musicrec.params import BaselinesParams
from tests.support.indexed_data import make_plays, write_indexed

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py"))


@contextmanager
def script(name: str) -> Iterator[ModuleType]:
    """Import a script by its path."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"benchmarks/{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where a dataclass looks for its annotations
    spec.loader.exec_module(module)
    yield module
    del sys.modules[name]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_tells_its_options(name, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with script(name) as module, pytest.raises(SystemExit) as end:
        module.main()
    assert end.value.code == 0 and "usage:" in capsys.readouterr().out


def test_the_loop_is_timed_in_turns(tmp_path):
    with script("loop") as loop:
        both = []
        for name in ("base", "head"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "params.yaml").write_text("als:\n  rank: 20\n  alpha: 10.0\n")
            command = f"grep rank params.yaml >> ../ran && echo {name} >> ../ran"
            both.append(loop.Checkout(name, tmp_path / name, {"train": command}))
        both[1].commands["baselines"] = "true"
        seconds = loop.time_in_turns(both, ["train", "baselines"], 2)
        assert {key: len(runs) for key, runs in seconds.items()} == {
            ("train", "base"): 2,
            ("train", "head"): 2,
            ("baselines", "head"): 2,
        }
        loop.set_rank(both[1])
        loop.time_in_turns(both, ["train"], 0)
        turns = ["rank:", "20", "base", "rank:", "20", "head"] * 3
        turns += ["rank:", "20", "base", "rank:", "50", "head"]
        assert (tmp_path / "ran").read_text().split() == turns
        assert "| baselines | - | - | - | 0." in loop.table(seconds, ["base", "head"], "all")

        with pytest.raises(MusicRecError, match=r"base: .* failed: no factors"):
            loop.Checkout("base", tmp_path / "base", {}).run("echo no factors >&2; exit 3")


def test_ease_has_the_scores_of_the_papers_lines(tmp_path):
    write_indexed(tmp_path, make_plays())
    held_out = read_held_out(tmp_path, "validation")
    params = BaselinesParams(ease_reg=20.0)
    with script("ease") as ease:
        weights = ease._dense_weights("numpy", held_out.train, 20.0)
        numpy, exact = (
            ease._scores(name, held_out, params, weights) for name in ("numpy", "exact")
        )
    np.testing.assert_allclose(exact, numpy, atol=1e-12)
