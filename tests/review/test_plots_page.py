"""The page that `dvc plots show` and `dvc plots diff` fill; see also tests/pipeline."""

from __future__ import annotations

import configparser
import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_what_its_script_writes():
    spec = importlib.util.spec_from_file_location("page", ROOT / "scripts/plots_template.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), (
        "vl-convert-python has changed; run `python scripts/plots_template.py`"
    )


def test_dvc_is_told_of_it_by_a_relative_path():
    config = configparser.ConfigParser()
    config.read(ROOT / ".dvc/config")
    assert (ROOT / ".dvc" / config["plots"]["html_template"]).is_file()
    assert not Path(config["plots"]["html_template"]).is_absolute()
