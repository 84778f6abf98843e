"""The page that `dvc plots show` and `dvc plots diff` fill; see also tests/pipeline."""

import configparser
from pathlib import Path

from tests.support.scripts import ROOT, load_script


def test_the_page_is_what_its_script_writes():
    script = load_script("scripts/plots_template.py")
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), (
        "vl-convert-python has changed; run `python scripts/plots_template.py`"
    )


def test_dvc_is_told_of_it_by_a_relative_path():
    config = configparser.ConfigParser()
    config.read(ROOT / ".dvc/config")
    assert (ROOT / ".dvc" / config["plots"]["html_template"]).is_file()
    assert not Path(config["plots"]["html_template"]).is_absolute()
