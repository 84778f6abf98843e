"""`dvc plots show` and `dvc plots diff` open without a network."""

from __future__ import annotations

import configparser
import importlib.util
import re
from pathlib import Path

from tests.support.browser import chromium

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


def test_plots_of_two_branches_open_offline(project, tmp_path):
    """In a path with a space, and from wherever `--out` puts the page."""
    page = tmp_path / "drawn here/index.html"
    project.dvc("plots", "diff", "main", "noisy", "--out", str(page.parent))
    outside_of_scripts = re.sub(r"<script>.*?</script>", "", page.read_text(), flags=re.DOTALL)
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", outside_of_scripts)
    with chromium(tmp_path / "profile") as browser:
        browser.open(page)
        count = "return document.querySelectorAll('.vega-embed svg, .vega-embed canvas').length"
        drawn = browser.wait_for(count)
        assert drawn >= 8
        assert browser.log("SEVERE") == []
        assert [address for address in browser.requests() if not address.startswith("file:")] == []
