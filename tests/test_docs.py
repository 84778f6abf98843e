"""The README and docs/: links lead somewhere, figures are those of the committed JSON."""

import itertools
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps

from musicrec.metrics.definitions import metric_table, split_figures
from musicrec.params import load_params
from musicrec.tune.space import read_space

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def metrics(name):
    return dict(split_figures(json.loads((ROOT / f"metrics/{name}.json").read_text())))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target
    for anchor in re.findall(r"\]\(#([^)]+)\)", text):
        heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in heads}


def test_the_index_lists_every_page():
    index = (ROOT / "docs/README.md").read_text()
    pages = {page.name for page in PAGES if page.parent.name == "docs"} - {"README.md"}
    assert set(re.findall(r"\]\((\w+\.md)\)", index)) == pages


def test_the_page_on_metrics_names_every_file_and_figure():
    page = (ROOT / "docs/metrics.md").read_text()
    for path in (ROOT / "metrics").glob("*.json"):
        assert f"`{path.name}`" in page
    for name in ("evaluate", "train", "ann_bench", "downsample"):
        for key in metrics(name):
            assert f"`{key}`" in page, f"{name}: {key}"


def test_the_page_on_metrics_defines_each_as_the_code_does():
    assert metric_table() in (ROOT / "docs/metrics.md").read_text()


def test_the_table_of_results_is_that_of_the_metrics():
    figures, baselines = metrics("evaluate"), metrics("baselines")
    columns = ["map@500", "ndcg@500", "recall@500", "precision@10"]
    table = [f"| {figures['users']} held-out users | " + " | ".join(columns) + " |"]
    table.append("|---" * (len(columns) + 1) + "|")
    for model, row in (
        ("ALS, params.yaml", figures),
        ("EASE", {c: baselines[f"ease_{c}"] for c in columns}),
        ("item neighbours", {c: baselines[f"neighbours_{c}"] for c in columns}),
        ("popularity", {c: baselines[f"popularity_{c}"] for c in columns}),
    ):
        table.append(f"| {model} | " + " | ".join(f"{row[c]:.4f}" for c in columns) + " |")
    page = (ROOT / "README.md").read_text().splitlines()
    start = page.index(table[0])
    shown = [line for line in page[start : start + 8] if "original project's setting" not in line]
    assert shown[: len(table)] == table


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_values_after_dash_s_are_parsed_and_allowed(page, tmp_path):
    """By DVC itself, as the shell hands them over: a missing quote in an example fails here."""
    text = page.read_text().replace("\\\n", " ")
    lines = [
        *re.findall(r"^    (.*-S .*)$", text, re.MULTILINE),
        *re.findall(r"`(-S [^`]+)`", text),
    ]
    for line in lines:
        words = shlex.split(line, comments=True)
        given = [value for name, value in itertools.pairwise(words) if name == "-S"]
        if words[:2] == ["musicrec", "tune"]:
            read_space(given)  # which knows ranges, too
            continue
        for override in get_hydra_sweeps({"params.yaml": given}):
            shutil.copy(ROOT / "params.yaml", tmp_path)
            apply_overrides(str(tmp_path / "params.yaml"), override["params.yaml"])
            load_params(tmp_path / "params.yaml")
