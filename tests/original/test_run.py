"""The original project's report: the figures of the stages, kept as they are made."""

from __future__ import annotations

import json
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from musicrec.cli import main
from musicrec.errors import MusicRecError
from musicrec.evaluate.report import plot_rows
from musicrec.evaluate.run import evaluate
from musicrec.original import plan
from musicrec.original.page import WHY_ZERO, ZERO, original_page, summary
from musicrec.original.run import Report, Work, original
from musicrec.params import ALSParams, EvaluateParams, FeedbackParams
from musicrec.storage.files import write_json
from musicrec.train.run import train
from tests.support.indexed_data import make_plays, write_baselines, write_indexed

COUNTS = [{"split": "train", "rows": 3, "mean": 2.5}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    write_indexed(folder / "indexed", make_plays())
    (folder / "params.yaml").write_text("als: {max_iter: 3}")
    (folder / "plots/data").mkdir(parents=True)
    (folder / "plots/data/counts.json").write_text(json.dumps(COUNTS))
    return folder


def run(folder: Path, kept: str, on_step=lambda step: None) -> tuple[Report, int]:
    counts = folder / "plots/data/counts.json"
    return original(folder / "indexed", folder / "params.yaml", counts, folder / kept, on_step)


@pytest.fixture(scope="module")
def first(folder: Path) -> tuple[Report, int]:
    return run(folder, "kept")


def test_a_point_has_the_figures_of_the_stages(
    folder: Path, first: tuple[Report, int], tmp_path: Path
) -> None:
    """Those of evaluate's files, to the last digit."""
    report, _ = first
    params = EvaluateParams(k=(10, 500), bootstrap_samples=100)
    (tmp_path / "indexed").symlink_to(folder / "indexed")
    write_baselines(tmp_path, params)
    log = plan.VARIANTS[plan.LOG]
    chosen = [(*report.grid[4], "grid")]
    chosen += [(plan.Point(report.best.als, log), report.variants[plan.LOG], "log")]
    for setting, figures, name in chosen:
        out = tmp_path / name
        train(folder / "indexed", out, tmp_path / "train.json", tmp_path / "plots", *setting)
        staged = evaluate(folder / "indexed", out, tmp_path / "baselines", params)
        write_json(tmp_path / "rows.json", plot_rows(staged, params))
        written = json.loads((tmp_path / "rows.json").read_text())
        assert figures["spark"] == written["spark_protocol"][-1]
        assert figures["ranking"] == [r for r in written["metrics"] if r["model"] == "als"][-1]
        assert figures["spark"]["k"] == 500


def test_the_grid_is_the_originals_and_the_best_is_its_best(first: tuple[Report, int]) -> None:
    report, computed = first
    points = {(s.als.rank, s.als.reg_param, s.als.alpha): f for s, f in report.grid}
    assert len(points) == 27
    assert set(points) == {(r, g, a) for r in (5, 10, 20) for g in (0.1, 1, 10) for a in (1, 5, 10)}
    best = max(points.values(), key=lambda figures: figures["spark"]["map"])
    assert report.variants[plan.BASELINE] == best
    assert {s.als.max_iter for s, _ in report.grid} == {3}
    assert set(report.tests) == {plan.BASELINE, plan.LOG} and computed > 35
    assert {row["method"] for row in report.search} >= {"exact_argsort", "exact"} | {
        f"annoy_dot, n_trees {n}" for n in (1, 5, 10, 30)
    }


def test_a_second_run_computes_nothing_and_a_stopped_one_goes_on(
    folder: Path, first: tuple[Report, int]
) -> None:
    report, computed = first
    assert run(folder, "kept") == (report, 0)
    steps: list[str] = []

    def stop(step: str) -> None:
        steps.append(step)
        if len(steps) == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(folder, "stopped", stop)
    again, rest = run(folder, "stopped")
    assert rest == computed - 10
    assert again.grid == report.grid and again.tests == report.tests and again.seen == report.seen


def test_a_step_out_of_the_grid() -> None:
    corner = ALSParams(rank=20, reg_param=0.1, alpha=10.0)
    assert plan.on_border(corner) == ["rank", "reg_param", "alpha"]
    further = {name: getattr(s.als, name) for name, s in plan.beyond(corner).items()}
    assert further == {"rank": 40, "reg_param": 0.01, "alpha": 20.0}
    inner = ALSParams(rank=10, reg_param=1.0, alpha=5.0)
    assert plan.beyond(inner) == {}
    low = plan.beyond(ALSParams(rank=5, reg_param=10.0, alpha=1.0))
    assert {name: getattr(s.als, name) for name, s in low.items()} == {
        "rank": 2, "reg_param": 100.0, "alpha": 0.2,
    }  # fmt: skip


def test_matched_alpha_keeps_the_mean_confidence(first: tuple[Report, int]) -> None:
    matched, _ = first[0].matched
    assert matched.feedback == FeedbackParams(transform="log1p")
    assert matched.als.alpha > first[0].best.als.alpha  # log1p(r) < r


def test_the_command_writes_a_page_with_every_published_figure(
    folder: Path, first: tuple[Report, int], monkeypatch, capsys
) -> None:
    monkeypatch.chdir(folder)
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data/original").symlink_to(folder / "kept")
    command = ["original", "--indexed", "indexed", "--params", "params.yaml"]
    assert not main(command)
    assert "0 results computed; original.html" in capsys.readouterr().out
    page = (folder / "original.html").read_text()
    for published in [*plan.VALIDATION.values(), *plan.TEST.values()]:
        for figure in published:
            assert f"{figure:.4f}" in page
    for _, figures in first[0].grid:
        assert str(figures["spark"]["precision"]) in page
    assert "measured on other data" in page and "https://" not in page.split("<script")[0]


def test_a_model_of_zeros_says_why(first: tuple[Report, int], folder: Path) -> None:
    """A regularisation that outweighs every play."""
    work = Work(folder / "indexed", folder / "zeros")
    nothing = plan.Point(ALSParams(rank=5, reg_param=1e6, alpha=1.0), FeedbackParams())
    figures = work.judge(nothing)
    assert figures["zero"] is True and figures["spark"]["map"] == 0
    report = first[0]
    assert not report.variants[plan.BASELINE]["zero"] and WHY_ZERO not in summary(report)
    changed = replace(report, variants={**report.variants, plan.LOG: figures})
    told = summary(changed).splitlines()
    assert next(line for line in told if line.startswith("log  ")).split()[1] == f"0.0000{ZERO}"
    assert told[-1] == WHY_ZERO and "Best of the grid: rank" in told[-2]
    assert WHY_ZERO in unescape(original_page(changed))


def test_without_indexed_plays(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MusicRecError, match="holds no indexed plays; run dvc repro index"):
        original(tmp_path, folder / "params.yaml", tmp_path / "none", tmp_path / "kept")
