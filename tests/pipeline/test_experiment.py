"""What a person sees of one experiment: what ran, a small diff, few rows, a table that fits."""

import json
import re

import pytest
import yaml

from tests.support.browser import chromium

from .conftest import reset, stages_run

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def changed(clone, tmp_path_factory):
    """The clone after an experiment of two parameters, not committed."""
    words = ("-S", "als.rank=5", "-S", "als.reg_param=1e-5")
    printed = clone.dvc("exp", "run", "--name", "narrow-model", *words)
    assert stages_run(printed) == ["train", "evaluate", "export", "ann-bench"]
    yield clone
    reset(clone)
    clone.dvc("exp", "remove", "narrow-model")


def test_the_diff_is_small(changed):
    rows = [line.split("\t") for line in changed.git("diff", "--numstat").splitlines()]
    assert len(rows) <= 6, rows
    assert sum(int(added) + int(deleted) for added, deleted, _ in rows) <= 72, rows
    assert changed.git("ls-files", "--others", "--exclude-standard") == ""
    diff = changed.git("diff", "--unified=0", "--", "params.yaml").splitlines()
    lines = [line for line in diff if re.match(r"[+-](?![+-])", line)]
    assert [line.strip("+- ") for line in lines if "rank" in line] == ["rank: 4", "rank: 5"]
    assert len(lines) == 4


def test_metrics_diff_is_read_at_a_glance(changed):
    rows = changed.run("dvc", "metrics", "diff", "main").stdout.splitlines()[1:]
    assert 0 < len(rows) <= 20
    everything = changed.run("dvc", "metrics", "show").stdout.split()
    numbers = [word for word in everything if re.fullmatch(r"-?[0-9.]+|True|False", word)]
    assert len(numbers) <= 60


def test_exp_show_fits_a_screen(changed):
    """Without times, hashes of folders and the comparison with baselines, as the README has it."""
    drop = ".*(/|beats_).*|Created"
    shown = changed.run("dvc", "exp", "show", "--only-changed", "--drop", drop).stdout
    assert "narrow-model" in shown and "map@50" in shown
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 200, shown


@pytest.mark.parametrize(("words", "n_revisions"), [(("show",), 1), (("diff", "main"), 2)])
def test_every_plot_is_drawn_offline(changed, tmp_path, words, n_revisions):
    """A mark for every row of the data, in a path with a space."""
    page = tmp_path / "drawn here/index.html"
    said = changed.dvc("plots", *words, "--out", str(page.parent))
    assert "WARNING" not in said
    outside_of_scripts = re.sub(r"<script>.*?</script>", "", page.read_text(), flags=re.DOTALL)
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", outside_of_scripts)
    with chromium(tmp_path / "profile") as browser:
        browser.open(page)
        specs = re.findall(r"var spec = (.*);\s*vegaEmbed\('(#[^']+)'", page.read_text())
        pictures = "document.querySelectorAll('.vega-embed canvas.marks, .vega-embed svg.marks')"
        browser.wait_for(f"return {pictures}.length == {len(specs)}")
        drawn = {plot["id"]: plot for plot in browser.script(DRAW, specs)}
        assert browser.log("SEVERE") == []
        assert [address for address in browser.requests() if not address.startswith("file:")] == []
    defined = yaml.safe_load((changed.folder / "dvc.yaml").read_text())["plots"]
    assert list(drawn) == [f"#{name}" for plot in defined for name in plot]
    for name, plot in (pair for one in defined for pair in one.items()):
        ((path, field),) = plot["y"].items()
        rows = json.loads((changed.folder / path).read_text())
        assert all(row.keys() == rows[0].keys() for row in rows), path
        marks = drawn[f"#{name}"]
        assert plot["title"] in marks["titles"]
        if plot.get("template"):
            points = sum(row[field] is not None for row in rows)
            drawn_twice = '"shape"' in marks["spec"]  # on its line too, by Vega-Lite
            assert marks["points"] == points * n_revisions * (1 + drawn_twice), name
        else:
            assert marks["lines"] >= n_revisions, name


# Draws the plots of the page once more, as SVG, in which marks can be counted.
DRAW = """
return Promise.all(arguments[0].map(async ([spec, id]) => {
  const element = document.querySelector(id);
  await vegaEmbed(element, JSON.parse(spec), {renderer: 'svg', actions: false});
  const count = kind => element.querySelectorAll(`.mark-${kind}.role-mark path`).length;
  const titles = [...element.querySelectorAll('.role-title text')].map(text => text.textContent);
  return {id, spec, titles, points: count('symbol'), lines: count('line')};
}));
"""
