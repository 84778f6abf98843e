"""What the evaluate stage reports of its per-user table."""

from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pytest

from musicrec.baselines.lists import BASELINES
from musicrec.evaluate.report import SLICES, evaluation_metrics, plot_rows, sentence, slice_labels
from musicrec.evaluate.run import evaluate
from musicrec.metrics.definitions import HITS, METRICS, headline_metrics, shown_metrics
from musicrec.metrics.intervals import FEWEST_USERS
from tests.support.indexed_data import N_ITEMS, write_factors

from .conftest import PARAMS


@pytest.fixture(scope="module")
def rows(evaluation):
    return plot_rows(evaluation, PARAMS)


def mean(evaluation, name):
    numbers = [x for x in evaluation.table.column(name).to_pylist() if x is not None]
    return sum(numbers) / len(numbers)


def test_the_headline_is_a_handful_of_means_of_the_table(evaluation, rows):
    figures = evaluation_metrics(evaluation, rows["differences"], PARAMS)
    shown = shown_metrics(PARAMS.k)
    assert {*headline_metrics(PARAMS.k), "coverage@5", "popularity@5"} == set(shown)
    for name in shown:
        assert figures[name] == pytest.approx(mean(evaluation, name), rel=1e-12)
    assert figures["users"] == evaluation.table.num_rows
    named = {"users", *shown, *(f"beats_{name}" for name in BASELINES)}
    assert figures.keys() == named


def test_every_row_is_a_mean_of_the_table(evaluation, rows):
    prefixes = {"als": ""} | {name: f"{name}_" for name in BASELINES}
    for row in rows["metrics"]:
        for name in METRICS:
            column = f"{prefixes[row['model']]}{name}@{row['k']}"
            if (name, row["k"]) == ("intra_list_distance", 200):
                assert row[name] is None and column not in evaluation.table.column_names
            else:
                assert row[name] == pytest.approx(mean(evaluation, column), rel=1e-9)
    for row in rows["spark_protocol"]:
        column = f"spark_ndcg@{row['k']}"
        assert row["ndcg"] == pytest.approx(mean(evaluation, column), rel=1e-12)
        assert row.keys() >= set(HITS)
    assert (len(rows["metrics"]), len(rows["spark_protocol"])) == (12, 3)


def test_users_are_counted_whatever_the_model(evaluation, rows, plays):
    (counted,) = rows["users"]
    held_out = {user for user, _ in plays.validation}
    unknown = sum(item >= N_ITEMS for _, item in plays.validation)
    # Four users are unknown to training and one has no factors.
    assert counted == {
        "n_users": len(held_out),
        "n_users_without_recommendations": 5,
        "n_users_unknown_to_training": 4,
        "held_out_plays": len(plays.validation),
        "held_out_plays_of_unknown_tracks": unknown,
    }
    assert unknown == 11
    assert {row["n_users"] for row in rows["spark_protocol"]} == {len(held_out) - 5}


def test_ceilings_and_intervals_enclose_the_metrics(rows):
    for row in rows["metrics"] + rows["spark_protocol"]:
        assert 0 < row["precision"] <= row["precision_ceiling"] <= 1
    for name, middle in (("intervals", "value"), ("differences", "difference")):
        assert all(row["low"] < row[middle] < row["high"] for row in rows[name])


def test_a_model_of_taste_beats_popularity_and_says_so(evaluation, rows):
    figures = evaluation_metrics(evaluation, rows["differences"], PARAMS)
    assert figures["beats_popularity"] is True
    assert "beats popularity" in sentence(figures, rows["differences"], evaluation.table, PARAMS)


def test_a_few_users_do_not_show_that_a_model_beats_anything(evaluation):
    table = evaluation.table
    ahead = pc.greater(table.column("map@200"), table.column("popularity_map@200"))
    winners = table.filter(ahead)
    for n in (1, FEWEST_USERS - 1):
        few = replace(evaluation, table=winners.slice(0, n))
        differences = plot_rows(few, PARAMS)["differences"]
        row = next(r for r in differences if r["against"] == "popularity")
        assert row["low"] > 0 and row["shown_higher"] is False
        figures = evaluation_metrics(few, differences, PARAMS)
        assert figures["beats_popularity"] is False
        assert f"too few users ({n}) to tell" in sentence(figures, differences, few.table, PARAMS)


def test_a_model_that_loses_to_popularity_says_so(folder, plays, tmp_path):
    noise = np.random.default_rng(0).random((N_ITEMS, 4)).astype(np.float32)
    write_factors(tmp_path, plays.users, noise)
    evaluation = evaluate(folder / "indexed", tmp_path, folder / "baselines", PARAMS)
    differences = plot_rows(evaluation, PARAMS)["differences"]
    figures = evaluation_metrics(evaluation, differences, PARAMS)
    assert figures["beats_popularity"] is False
    assert "is worse than popularity" in sentence(figures, differences, evaluation.table, PARAMS)
    barely = [row | {"high": 0.1} for row in differences]
    assert "is not shown to beat EASE" in sentence(figures, barely, evaluation.table, PARAMS)


def test_slices_hold_every_user_once_and_average_to_the_whole(evaluation, rows):
    table = evaluation.table
    for slicing, (column, edges) in SLICES.items():
        own = [row for row in rows[f"by_{slicing}"] if row["model"] == "als"]
        values = table.column(column).to_numpy()
        sizes = np.histogram(values, [*edges, np.inf])[0]
        labels = [label for label, n in zip(slice_labels(edges), sizes, strict=True) if n]
        assert [(row["slice"], row["n_users"]) for row in own] == list(
            zip(labels, sizes[sizes > 0], strict=True)
        )
        total = sum(row["n_users"] * row["map"] for row in own)
        assert total / table.num_rows == pytest.approx(mean(evaluation, "map@200"))
        assert all(row["map_low"] <= row["map"] <= row["map_high"] for row in own)
    assert slice_labels([0, 1, 5, 10]) == ["0", "1-4", "5-9", "10+"]
