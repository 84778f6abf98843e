"""The picture of recall against speed, and the Pareto front in it."""

from __future__ import annotations

from musicrec.ann_bench.picture import draw_tradeoff, pareto_front


def test_pareto_front():
    places = [(1.0, 5.0), (0.9, 4.0), (0.8, 9.0), (0.5, 9.0), (0.2, 20.0)]
    assert pareto_front(places) == [(0.2, 20.0), (0.8, 9.0), (1.0, 5.0)]


def test_the_picture_is_the_same_for_the_same_figures(tmp_path):
    points = [
        {"method": "exact", "setting": "exact", "recall": 1.0, "queries_per_second": 900.0},
        {"method": "annoy, n_trees 1", "setting": "s", "recall": 0.5, "queries_per_second": 2000.0},
        {"method": "annoy, n_trees 1", "setting": "t", "recall": 0.9, "queries_per_second": 500.0},
    ]
    for name in ("a.svg", "b.svg"):
        draw_tradeoff(tmp_path / name, points, "title")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
