"""Users who are not in training: folded in, judged and served, beside a slow reference."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from musicrec.bundle.write import export_bundle
from musicrec.errors import MusicRecError
from musicrec.evaluate.report import evaluation_metrics, plot_rows, spark_rows
from musicrec.evaluate.run import evaluate
from musicrec.interactions.factors import read_factors
from musicrec.interactions.matrix import read_interactions
from musicrec.params import ALSParams, EvaluateParams, ExportParams, FeedbackParams
from musicrec.storage.files import read_json, write_checksums
from musicrec.storage.parquet import read_table, write_table
from musicrec.train.run import train, warm_factors
from musicrec.tune.trial import Trials
from tests.metrics.test_ranking import reference
from tests.support.als_reference import solve_rows
from tests.support.indexed_data import write_baselines, write_index

N_USERS, N_ITEMS, N_HELD = 200, 50, 24  # items from N_ITEMS on are unknown to training
PARAMS = EvaluateParams(k=(5, 30), bootstrap_samples=100)
ALS = ALSParams(rank=5, max_iter=6, alpha=3.0, nonnegative=False)
FEEDBACK = FeedbackParams(transform="log1p", min_count=2)
Row = tuple[int, int, int]


def draw() -> dict[str, list[Row]]:
    """Users with two tastes; the last N_HELD are held out, with plays to fold in and a truth."""
    rng = np.random.default_rng(3)
    splits: dict[str, list[Row]] = {"train": [], "validation_history": [], "validation": []}
    for user in range(N_USERS + N_HELD):
        odd = np.arange(N_ITEMS) % 2 == user % 2
        played = np.flatnonzero(rng.random(N_ITEMS) < np.where(odd, 0.35, 0.05))
        rows = [(user, int(item), int(rng.integers(1, 6))) for item in played]
        if user < N_USERS:
            splits["train"] += rows
        else:
            cut = len(rows) // 2
            splits["validation"] += rows[:cut]
            splits["validation_history"] += rows[cut:]
    splits["validation"].append((N_USERS, N_ITEMS, 1))
    splits["validation_history"].append((N_USERS + 1, N_ITEMS + 1, 4))
    return splits


@pytest.fixture(scope="module")
def splits():
    return draw()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, splits):
    folder = tmp_path_factory.mktemp("strong")
    columns = {
        name: dict(zip(("user", "item", "count"), np.array(rows).T, strict=True))
        for name, rows in splits.items()
    }
    users, items = (
        [f"{kind}{(i * 71) % 1009:04d}" for i in range(n)]
        for kind, n in (("user", N_USERS + N_HELD), ("item", N_ITEMS + 2))
    )
    write_index(folder / "indexed", columns, users, items, (N_USERS, N_ITEMS))
    write_baselines(folder, PARAMS)
    run_train(folder, ALS)
    return folder


def run_train(folder: Path, als: ALSParams) -> None:
    out = folder / "factors"
    train(folder / "indexed", out, folder / "train.json", folder / "plots", als, FEEDBACK)


def slow_lists(folder: Path, splits: dict[str, list[Row]], als: ALSParams) -> dict[int, list[int]]:
    """Rank all new tracks for each held-out user, from the plays to fold in alone."""
    items = read_factors(folder / "factors", N_USERS, N_ITEMS)[1].astype(np.float64)
    lists = {}
    for user in range(N_USERS, N_USERS + N_HELD):
        rows = [row for row in splits["validation_history"] if row[0] == user]
        r = np.zeros((1, N_ITEMS))
        for _, item, count in rows:
            if item < N_ITEMS and count >= FEEDBACK.min_count:
                r[0, item] = np.log1p(count)
        scores = items @ solve_rows(r, items, als)[0]
        seen = {item for _, item, _ in rows}
        lists[user] = sorted(set(range(N_ITEMS)) - seen, key=lambda item, s=scores: -s[item])
    return lists


def test_metrics_equal_a_slow_evaluation(folder, splits):
    judged = evaluate(folder / "indexed", folder / "factors", folder / "baselines", PARAMS)
    plots = plot_rows(judged, PARAMS)
    figures = evaluation_metrics(judged, plots["differences"], PARAMS)
    lists = slow_lists(folder, splits, ALS)
    truth = {u: [i for v, i, _ in splits["validation"] if v == u] for u in lists}
    for metric, k in (("map", 30), ("ndcg", 30), ("recall", 30), ("calibrated_recall", 5)):
        by_hand = [reference(lists[user], truth[user], k)[metric] for user in lists]
        assert figures[f"{metric}@{k}"] == pytest.approx(np.mean(by_hand), rel=1e-9)
    assert figures["users"] == N_HELD
    assert figures["beats_popularity"] or figures["map@30"] > 0.1  # tastes are found
    (users,) = plots["users"]
    assert users["n_users_unknown_to_training"] == 0  # each has plays to be folded in with
    (spark,) = (row for row in plots["spark_protocol"] if row["k"] == 30)
    assert spark["n_users"] == N_HELD


def test_early_stopping_judges_users_who_are_folded_in(folder, splits, tmp_path):
    (tmp_path / "indexed").symlink_to(folder / "indexed")
    als = ALS.replace(max_iter=30, early_stopping=2)
    run_train(tmp_path, als)
    lists = slow_lists(tmp_path, splits, als)
    truth = {u: [i for v, i, _ in splits["validation"] if v == u] for u in lists}
    ndcg = [reference(lists[user], truth[user], 100)["ndcg"] for user in lists]
    figures = read_json(tmp_path / "train.json")
    assert figures["early_stopping_ndcg@100"] == pytest.approx(np.mean(ndcg), abs=1e-6)


def test_a_warm_start_carries_users_and_tracks_of_the_training(folder, tmp_path):
    bundle = tmp_path / "bundle"
    export_bundle(folder / "indexed", folder / "factors", bundle, ExportParams(n_trees=1))
    plays = read_interactions(folder / "indexed/train", N_USERS, N_ITEMS)
    als = ALS.replace(max_iter=1, warm_start=str(bundle))
    factors = warm_factors(bundle, folder / "indexed", plays, als)
    assert factors.users.shape == (N_USERS, ALS.rank)  # nobody who is held out
    np.testing.assert_array_equal(factors.items, np.load(bundle / "item_factors.npy"))

    (tmp_path / "indexed").symlink_to(folder / "indexed")
    run_train(tmp_path, als)
    cold, warm = (read_json(at / "plots/loss.json") for at in (folder, tmp_path))
    assert warm[-1]["loss"] < cold[-1]["loss"] < cold[0]["loss"]  # one step further than it was


def test_a_warm_start_from_those_who_are_held_out_is_refused(folder, tmp_path):
    """Of another seed or protocol: the factors know what these users are asked for."""
    bundle, other = tmp_path / "bundle", tmp_path / "other"
    shutil.copytree(folder / "indexed", other)
    users = read_table(other / "users.parquet")
    names = pa.array(users.column("user_id").to_pylist()[::-1])
    table = pa.table({"user": users.column("user"), "user_id": names})
    (other / "users.parquet").unlink()
    write_table(other / "users.parquet", table)
    write_checksums(other)
    export_bundle(other, folder / "factors", bundle, ExportParams(n_trees=1))
    (tmp_path / "indexed").symlink_to(folder / "indexed")
    with pytest.raises(MusicRecError, match=f"trained on plays of {N_HELD} users who are held out"):
        run_train(tmp_path, ALS.replace(warm_start=str(bundle)))


@pytest.mark.parametrize("seen", ["exclude", "keep"])
def test_trials_fold_in_too(folder, tmp_path, seen):
    params = PARAMS.replace(seen=seen)
    (tmp_path / "indexed").symlink_to(folder / "indexed")
    write_baselines(tmp_path, params)
    trials = Trials(folder / "indexed", params)
    model = trials.fit(ALS, FEEDBACK)
    staged = evaluate(folder / "indexed", folder / "factors", tmp_path / "baselines", params)
    rows = plot_rows(staged, params)
    figures = evaluation_metrics(staged, rows["differences"], params)
    mine = trials.figures(model)
    assert "calibrated_recall@5" in mine and mine.items() <= figures.items()
    assert spark_rows(trials.judge(model)[1], params.k) == rows["spark_protocol"]
