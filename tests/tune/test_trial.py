"""Trials in one process give the figures of the stages, to the last digit."""

import numpy as np
import pytest

from musicrec.evaluate.report import evaluation_metrics, metric_rows, plot_rows, spark_rows
from musicrec.evaluate.run import evaluate
from musicrec.interactions.factors import read_factors
from musicrec.params import ALSParams, EvaluateParams, FeedbackParams
from musicrec.train.run import train
from musicrec.tune.trial import Trials
from tests.support.indexed_data import N_ITEMS, N_USERS, make_plays, write_baselines, write_indexed

SETTINGS = [
    (ALSParams(rank=4, max_iter=3), FeedbackParams()),
    (ALSParams(rank=6, max_iter=3, alpha=40.0), FeedbackParams(transform="log1p", min_count=2)),
    (ALSParams(rank=6, max_iter=40, early_stopping=2, nonnegative=False), FeedbackParams()),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trials")
    write_indexed(folder / "indexed", make_plays())
    return folder


@pytest.mark.parametrize(
    ("split", "seen"), [("validation", "exclude"), ("test", "exclude"), ("validation", "keep")]
)
def test_the_figures_are_those_of_the_stages(folder, tmp_path, split, seen):
    params = EvaluateParams(k=(5, 60), split=split, seen=seen, bootstrap_samples=100)
    (tmp_path / "indexed").symlink_to(folder / "indexed")
    write_baselines(tmp_path, params)
    trials = Trials(folder / "indexed", params)
    for number, (als, feedback) in enumerate(SETTINGS):
        out = tmp_path / str(number)
        train(folder / "indexed", out / "factors", out / "train.json", out / "plots", als, feedback)
        staged = evaluate(folder / "indexed", out / "factors", tmp_path / "baselines", params)
        rows = plot_rows(staged, params)

        model = trials.fit(als, feedback)
        users, items = read_factors(out / "factors", N_USERS, N_ITEMS)
        np.testing.assert_array_equal(model.factors.users, users)
        np.testing.assert_array_equal(model.factors.items, items)
        assert model.factors.losses[-1] > 0
        _, table = trials.judge(model)
        ranking = metric_rows(table, params.k)
        assert ranking == [row for row in rows["metrics"] if row["model"] == "als"]
        assert spark_rows(table, params.k) == rows["spark_protocol"]
        figures = evaluation_metrics(staged, rows["differences"], params)
        assert trials.figures(model).items() <= figures.items()
