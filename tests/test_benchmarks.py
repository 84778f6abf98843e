"""The scripts under benchmarks/ start, and measure what they say."""

from __future__ import annotations

import sys

import pytest

from musicrec.errors import MusicRecError
from tests.support.scripts import ROOT, load_script

SCRIPTS = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_tells_its_options(name, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as end:
        load_script(f"benchmarks/{name}.py").main()
    assert end.value.code == 0 and "usage:" in capsys.readouterr().out


def test_the_loop_is_timed_in_turns(tmp_path):
    loop = load_script("benchmarks/loop.py")
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
