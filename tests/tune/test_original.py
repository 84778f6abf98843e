"""The original project's report: the figures of the stages, kept as they are made."""

from __future__ import annotations

import json
from html import unescape

import pytest

from musicrec.cli import main
from musicrec.errors import MusicRecError
from musicrec.params import ALSParams, FeedbackParams
from musicrec.storage.outputs import CHECKSUMS
from musicrec.tune import original as plan
from musicrec.tune.original import Point, Work
from musicrec.tune.pages import WHY_ZERO, ZERO, original_page, summary
from tests.support.indexed_data import make_plays, write_indexed
from tests.support.plays import contents

COUNTS = [{"split": "train", "rows": 3, "mean": 2.5}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("original")
    write_indexed(folder / "indexed", make_plays())
    (folder / "params.yaml").write_text("als: {max_iter: 3}")
    (folder / "plots/data").mkdir(parents=True)
    (folder / "plots/data/counts.json").write_text(json.dumps(COUNTS))
    return folder


BASE = ALSParams(max_iter=3)


@pytest.fixture(scope="module")
def work(folder):
    work = Work(folder / "indexed", BASE, folder / "kept")
    original_page(work, COUNTS)
    return work


def test_the_grid_is_the_originals_and_the_best_is_its_best(work):
    points = {(s.als.rank, s.als.reg_param, s.als.alpha) for s in work.grid}
    assert len(work.grid) == 27
    assert points == {(r, g, a) for r in (5, 10, 20) for g in (0.1, 1, 10) for a in (1, 5, 10)}
    maps = {point: work.judge(point)["spark"]["map"] for point in work.grid}
    assert maps[work.best] == max(maps.values())
    assert {work.judge(work.best)[rows]["k"] for rows in ("spark", "ranking")} == {500}
    assert {point.als.max_iter for point in work.grid} == {3}
    assert work.computed > 35
    assert {row["method"] for row in work.search()["rows"]} >= {"exact_argsort", "exact"} | {
        f"annoy_dot, n_trees {n}" for n in (1, 5, 10, 30)
    }


def test_a_second_run_computes_nothing_and_a_stopped_one_goes_on(folder, work, monkeypatch):
    again = Work(folder / "indexed", BASE, folder / "kept")
    assert original_page(again, COUNTS) == original_page(work, COUNTS) and again.computed == 0
    steps: list[str] = []

    def stop(step: str) -> None:
        steps.append(step)
        if len(steps) == 11:
            raise KeyboardInterrupt

    monkeypatch.setattr("musicrec.tune.original.progress", stop)
    with pytest.raises(KeyboardInterrupt):
        original_page(Work(folder / "indexed", BASE, folder / "stopped"), COUNTS)
    left = contents(folder / "stopped")
    assert len(left) == 10 and left.items() <= contents(folder / "kept").items()


def test_a_step_out_of_the_grid():
    corner = ALSParams(rank=20, reg_param=0.1, alpha=10.0)
    further = {name: getattr(s.als, name) for name, s in plan.beyond(corner).items()}
    assert further == {"rank": 40, "reg_param": 0.01, "alpha": 20.0}
    inner = ALSParams(rank=10, reg_param=1.0, alpha=5.0)
    assert plan.beyond(inner) == {}
    assert plan.beyond(corner.replace(rank=5)).keys() == further.keys()
    low = plan.beyond(ALSParams(rank=5, reg_param=10.0, alpha=1.0))
    assert {name: getattr(s.als, name) for name, s in low.items()} == {
        "rank": 2, "reg_param": 100.0, "alpha": 0.2,
    }  # fmt: skip


def test_the_command_writes_a_page_with_every_published_figure(folder, work, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data/original").symlink_to(folder / "kept")
    command = ["original", "--indexed", "indexed", "--params", "params.yaml"]
    assert not main(command)
    assert "0 results computed; original.html" in capsys.readouterr().out
    page = (folder / "original.html").read_text()
    published = [pair for _, figures in plan.PUBLISHED.values() for pair in figures.values()]
    assert len(published) == 8
    for figure in (value for pair in published for value in pair):
        assert f"{figure:.4f}" in page
    for point in work.grid:
        assert str(work.judge(point)["spark"]["precision"]) in page
    assert "measured on other data" in page and "https://" not in page.split("<script")[0]


def test_a_model_of_zeros_says_why(work, folder):
    """A regularisation that outweighs every play."""
    zeros = Work(folder / "indexed", BASE, folder / "kept")
    nothing = Point(ALSParams(rank=5, reg_param=1e6, alpha=1.0), FeedbackParams())
    figures = zeros.judge(nothing)
    assert figures["zero"] is True and figures["spark"]["map"] == 0
    assert not work.judge(work.best)["zero"] and WHY_ZERO not in summary(work)
    zeros.best = nothing
    told = summary(zeros).splitlines()
    assert told[1].split()[:2] == ["baseline", f"0.0000{ZERO}"]
    assert told[-1] == WHY_ZERO and "Best of the grid: rank" in told[-2]
    assert WHY_ZERO in unescape(original_page(work, COUNTS))


def test_without_indexed_plays(tmp_path):
    with pytest.raises(MusicRecError, match="dvc repro makes it anew"):
        Work(tmp_path, BASE, tmp_path / "kept")
    (tmp_path / CHECKSUMS).touch()
    with pytest.raises(MusicRecError, match="temporal trains one for each"):
        Work(tmp_path, BASE, tmp_path / "kept")
