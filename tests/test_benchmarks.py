"""The scripts under benchmarks/ start."""

import sys

import pytest

from tests.support.scripts import ROOT, load_script

SCRIPTS = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_tells_its_options(name, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as end:
        load_script(f"benchmarks/{name}.py").main()
    assert end.value.code == 0 and "usage:" in capsys.readouterr().out
