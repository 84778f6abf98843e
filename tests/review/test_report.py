"""The HTML report: in a browser, without a network, and with the figures of the JSON."""

import pytest

from musicrec.cli import main
from musicrec.formatting import number
from musicrec.metrics.definitions import METRICS, TOO_FEW, metric_title
from musicrec.metrics.intervals import FEWEST_USERS
from musicrec.review.compare import compare
from musicrec.review.figures import ROWS
from musicrec.review.report import page
from tests.support.browser import chromium

ODD = "</script><i>&'"  # Git allows such a branch
NAMES = ("main", ODD, "worse-exp")


# Labels of an axis that stand on each other, as "chart: one, other".
OVERLAPS = """
const found = [];
for (const chart of document.querySelectorAll('.chart'))
  for (const axis of chart.querySelectorAll('.role-axis-label')) {
    const labels = [...axis.querySelectorAll('text')]
      .filter(e => e.textContent && getComputedStyle(e).opacity !== '0');
    const boxes = labels.map(e => e.getBoundingClientRect());
    for (let i = 0; i < boxes.length; i++)
      for (let j = i + 1; j < boxes.length; j++)
        if (boxes[i].left < boxes[j].right && boxes[j].left < boxes[i].right &&
            boxes[i].top < boxes[j].bottom && boxes[j].top < boxes[i].bottom)
          found.push(`${chart.id}: ${labels[i].textContent}, ${labels[j].textContent}`);
  }
return found;
"""


@pytest.fixture(scope="module")
def report(project, tmp_path_factory):
    project.git("branch", "-f", ODD, "noisy")
    path = tmp_path_factory.mktemp("the report") / "report.html"
    base, *heads = map(project.revision, NAMES)
    path.write_text(page(base, heads)[0], encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(report, tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        browser.look(1280, 900)
        browser.open(report)
        browser.wait_for("return document.documentElement.dataset.drawn")
        yield browser


@pytest.fixture(scope="module")
def rows(project):
    """Rows of each file, by revision, as DVC has them."""
    return {
        revision: {name: project.revision(revision).read_json(path) for name, path in ROWS.items()}
        for revision in NAMES
    }


def drawn(browser, key):
    """Rows that a chart has drawn, without Vega's own columns."""
    found = browser.script(f"return charts['{key}'].data('{key}')")
    return [{name: value for name, value in row.items() if name[0] != "_"} for row in found]


def table(browser, key):
    """Cells of a table, row by row."""
    script = (
        "return [...document.querySelectorAll('#table-' + arguments[0] + ' tbody tr')]"
        ".map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return browser.script(script, key)


def test_the_verdicts_are_told_in_a_line_each(project):
    base = project.revision("main")
    noisy, *_, same = page(base, [project.revision("noisy"), base])[1]
    first = next(iter(compare(base, project.revision("noisy")).metrics.items()))
    assert noisy.startswith(f"noisy: {first[1].verdict}") and metric_title(first[0]) in noisy
    assert same.startswith(f"main: identical ({metric_title(first[0])} ")
    (other, *_) = page(base, [project.revision("other-data")])[1]
    assert other.startswith("other-data: no verdict (main and other-data cannot be compared")


def test_nothing_is_asked_of_a_network_and_nothing_goes_wrong(browser, report):
    browser.open(report)
    browser.wait_for("return document.documentElement.dataset.drawn")
    assert browser.requests() == [report.resolve().as_uri()]
    assert browser.log() == []


def test_every_chart_is_drawn_with_names_on_its_axes(browser):
    keys = browser.script("return Object.keys(charts)")
    assert len(keys) == len(set(keys)) >= 17
    for key in keys:
        n_points = len(drawn(browser, key))
        marks = f"#chart-{key} svg .mark-symbol path"
        assert browser.script("return document.querySelectorAll(arguments[0]).length", marks) == (
            n_points
        ), key
        titles = browser.text(f"#chart-{key} svg .role-axis-title")
        assert titles and all(titles), key
        assert len(table(browser, key)) == n_points, key


def test_metrics_at_k_are_those_of_the_json(browser, rows):
    for metric in METRICS:
        wanted = {
            (revision if row["model"] == "als" else row["model"], row["k"]): row[metric]
            for revision in NAMES
            for row in rows[revision]["metrics"]
            if row[metric] is not None
        }
        if metric == "precision":
            of_als = (row for row in rows["main"]["metrics"] if row["model"] == "als")
            wanted |= {("ceiling", row["k"]): row["precision_ceiling"] for row in of_als}
        shown = drawn(browser, f"{metric}_at_k")
        assert {(row["series"], row["k"]): row[metric] for row in shown} == wanted
        cells = {(series, int(k)): value for series, k, value in table(browser, f"{metric}_at_k")}
        assert cells == {key: number(value) for key, value in wanted.items()}


def test_slices_loss_search_and_data_are_those_of_the_json(browser, rows):
    for revision in NAMES:
        of = {
            key: [row for row in drawn(browser, key) if row["series"] == revision]
            for key in ("ndcg_by_history", "training_loss", "speed_by_recall")
        }
        slices = [
            (row["slice"], row["ndcg"], row["ndcg_low"] if row["n_users"] >= FEWEST_USERS else None)
            for row in rows[revision]["by_history"]
            if row["model"] == "als"
        ]
        assert [(r["slice"], r["ndcg"], r["low"]) for r in of["ndcg_by_history"]] == slices != []
        loss = [row["loss"] for row in rows[revision]["loss"]]
        assert [row["loss"] for row in of["training_loss"]] == loss
        speeds = [(row["recall"], row["queries_per_second"]) for row in of["speed_by_recall"]]
        settings = rows[revision]["tradeoff"]
        assert speeds == [(row["recall"], row["queries_per_second"]) for row in settings]
    plays = number(rows["main"]["counts"][0]["rows"])
    assert table(browser, "data")[0][:4] == ["main", "train", plays, "300"]


def test_verdicts_are_those_of_compare(browser, project):
    main_ = project.revision("main")
    cards = browser.text("#verdict .card")
    shown = drawn(browser, "changes")
    for name, card in zip(NAMES[1:], cards, strict=True):
        result = compare(main_, project.revision(name))
        map_at_100 = result.metrics["map@100"]
        assert map_at_100.verdict == "worse" and "Worse" in card and name in card
        assert f"{number(map_at_100.base)} → {number(map_at_100.head)}" in card
        for metric, row in result.metrics.items():
            (found,) = (
                one
                for one in shown
                if (one["series"], one["metric"]) == (name, metric_title(metric))
            )
            values = [found["change"], found["low"], found["high"]]
            wanted = [100 * row.change, 100 * row.change_low, 100 * row.change_high]
            assert values == pytest.approx(wanted)
            assert found["p"] == (None if row.verdict == TOO_FEW else row.adjusted_p_value)
            assert found["verdict"] == row.verdict


def test_parameters_and_provenance(browser, project):
    assert table(browser, "params") == [["als.reg_param", "0.0", "0.3", "0.3"]]
    facts = {row[0]: row[1:] for row in table(browser, "provenance")}
    assert facts["commit"][0] == project.git("rev-parse", "main").strip()[:12]
    assert facts["search ran on: processor"] == ["A processor"] * 3


@pytest.mark.parametrize("dark", [False, True])
def test_on_a_phone_and_in_the_dark(browser, report, dark):
    browser.look(360, 740, dark)
    browser.open(report)
    browser.wait_for("return document.documentElement.dataset.drawn")
    script = "const e = document.documentElement; return [e.scrollWidth, e.clientWidth]"
    wide, visible = browser.script(script)
    assert wide <= visible == 360
    assert browser.script(OVERLAPS) == []
    # Of a chart's labels, as the page's text: far from the ground's brightness either way.
    script = (
        "const light = c =>"
        " c.match(/[0-9.]+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0) / 765;"
        "return [getComputedStyle(document.querySelector('.role-axis-title text')).fill,"
        " getComputedStyle(document.querySelector('figure')).backgroundColor].map(light)"
    )
    text, ground = browser.script(script)
    assert (text > 0.8 and ground < 0.2) if dark else (text < 0.2 and ground > 0.8)


def test_a_name_is_text_wherever_it_stands(report, browser):
    text = report.read_text(encoding="utf-8")
    assert ODD not in text and "&lt;/script&gt;&lt;i&gt;" in text
    assert browser.text("h1") == [f"{ODD}, worse-exp against main"]
    assert browser.text("body i") == []


def test_the_command_writes_the_same_page(report, project, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(project.folder)
    path = tmp_path / "again.html"
    assert main(["report", *NAMES, "--output", str(path)]) == 0
    assert "it needs no network" in capsys.readouterr().out
    assert path.read_bytes() == report.read_bytes()


def test_what_is_out_of_reach_is_said(without_remote):
    assert main(["report", "--base", "origin/noisy", "--output", "page.html"]) == 0
    text = (without_remote.folder / "page.html").read_text(encoding="utf-8")
    assert "No verdict" in text
    # One sentence, whatever number of files; the remote is known to the other revision alone.
    assert text.count(" of workspace are neither in the cache nor in a remote") == 1
    assert "<code>dvc push</code> where its commit ran" in text
    assert "als.reg_param" in text
