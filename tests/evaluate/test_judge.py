"""The evaluate stage on small synthetic plays, beside a slow evaluation that uses plain Python."""

from collections import Counter, defaultdict
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.bundle import load_bundle
from musicrec.bundle.write import export_bundle
from musicrec.errors import MusicRecError
from musicrec.evaluate.judge import described, hash_rows
from musicrec.evaluate.lists import COLUMNS
from musicrec.evaluate.report import evaluation_metrics, plot_rows, sentence
from musicrec.evaluate.run import evaluate
from musicrec.interactions.held_out import read_held_out
from musicrec.metrics.definitions import HITS
from musicrec.params import ExportParams
from musicrec.storage.files import read_json
from tests.metrics.test_ranking import reference
from tests.support.indexed_data import (
    N_ITEMS,
    N_USERS,
    write_baselines,
    write_indexed,
)
from tests.support.plays import contents
from tests.support.scripts import stage_process

from .conftest import PARAMS


def by_user(pairs):
    rows = defaultdict(list)
    for user, item in sorted(pairs):
        rows[user].append(item)
    return rows


def slow_lists(folder, plays, exclude_seen):
    """Recommend by sorting all scores of every user in Python: falling score, ties by id."""
    users = np.load(folder / "factors/user_factors.npy").astype(np.float64)
    items = np.load(folder / "factors/item_factors.npy").astype(np.float64)
    seen = by_user(plays.train) if exclude_seen else {}
    lists = {}
    for user in by_user(plays.validation):
        if user >= N_USERS or not users[user].any():
            lists[user] = []
            continue
        scores = items @ users[user]
        allowed = [i for i in range(N_ITEMS) if items[i].any() and i not in seen.get(user, [])]
        lists[user] = sorted(allowed, key=lambda i, s=scores: (-s[i], i))[:200]
    return lists


def column(evaluation, folder, name):
    """A column of the table by user index."""
    ids = pq.read_table(folder / "indexed/users.parquet").column("user_id").to_pylist()
    index = {user_id: i for i, user_id in enumerate(ids)}
    table = evaluation.table
    keys = [index[user_id] for user_id in table.column("user_id").to_pylist()]
    return dict(zip(keys, table.column(name).to_pylist(), strict=True))


@pytest.mark.parametrize("k", PARAMS.k)
@pytest.mark.parametrize("prefix", ["", "spark_"], ids=["all", "known"])
def test_both_protocols_equal_a_slow_evaluation(evaluation, folder, plays, prefix, k):
    """Spark's leaves out unknown tracks, and users without a truth or a list."""
    truth, lists = by_user(plays.validation), slow_lists(folder, plays, exclude_seen=not prefix)
    if prefix:
        truth = {user: [item for item in row if item < N_ITEMS] for user, row in truth.items()}
    left_out = {user for user in truth if prefix and not (truth[user] and lists[user])}
    judged = {u: reference(lists[u], truth[u], k) for u in truth.keys() - left_out}
    for metric in HITS:
        got = column(evaluation, folder, f"{prefix}{metric}@{k}")
        assert {user for user, value in got.items() if value is None} == left_out
        expected = {user: figures[metric] for user, figures in judged.items()}
        assert {user: got[user] for user in judged} == pytest.approx(expected, rel=1e-9)


def test_the_bundle_alone_gives_these_metrics(evaluation, folder, plays, tmp_path):
    """It answers by popularity for whom evaluate has an empty list."""
    export_bundle(folder / "indexed", folder / "factors", tmp_path / "bundle", ExportParams())
    bundle, truth = load_bundle(tmp_path / "bundle"), by_user(plays.validation)
    users, tracks = (
        pq.read_table(folder / f"indexed/{name}.parquet").column(f"{kind}_id").to_pylist()
        for name, kind in (("users", "user"), ("items", "track"))
    )
    for k in PARAMS.k:
        lists = [
            [tracks.index(track) for track in answer.track_ids if answer.source == "factors"]
            for answer in bundle.recommend_many([users[user] for user in truth], k)
        ]
        judged = [reference(*row, k)["ndcg"] for row in zip(lists, truth.values(), strict=True)]
        expected = dict(zip(truth, judged, strict=True))
        assert column(evaluation, folder, f"ndcg@{k}") == pytest.approx(expected, abs=1e-12)


def test_seen_tracks_are_kept_on_demand(folder, plays, tmp_path):
    """The model's lists, those of the baselines, one more of these, and what the table says."""
    params = PARAMS.replace(seen="keep")
    (tmp_path / "indexed").symlink_to(folder / "indexed")
    write_baselines(tmp_path, params)
    judged = evaluate(folder / "indexed", folder / "factors", tmp_path / "baselines", params)
    assert described(judged.table.schema) == {
        "split": "validation",
        "seen": "keep",
        "k": [*params.k],
    }
    truth, lists = by_user(plays.validation), slow_lists(folder, plays, exclude_seen=False)
    expected = {user: reference(lists[user], truth[user], 10)["map"] for user in truth}
    assert column(judged, folder, "map@10") == pytest.approx(expected, rel=1e-9)
    figures = evaluation_metrics(judged, plot_rows(judged, params)["differences"], params)
    assert {"beats_most_played", "beats_ease"} < figures.keys()
    rows = plot_rows(judged, params)["differences"]
    assert sentence(figures, rows, judged.table, params).endswith(
        "validation users, seen tracks kept"
    )


def test_columns_that_describe_the_users(evaluation, folder, plays):
    truth, seen = by_user(plays.validation), by_user(plays.train)
    users_of = Counter(item for _, item in plays.train)
    assert column(evaluation, folder, "history_length") == {u: len(seen[u]) for u in truth}
    assert column(evaluation, folder, "held_out") == {u: len(row) for u, row in truth.items()}
    assert column(evaluation, folder, "held_out_unknown") == {
        u: sum(item >= N_ITEMS for item in row) for u, row in truth.items()
    }
    assert column(evaluation, folder, "held_out_popularity") == {
        u: median(users_of[item] for item in row) for u, row in truth.items()
    }
    ids = evaluation.table.column("user_id").to_pylist()
    assert ids == sorted(ids)


def test_the_hash_of_a_truth_does_not_depend_on_the_indexing(evaluation, folder):
    """So that configurations with other training data are seen to be judged on the same plays."""
    held_out = read_held_out(folder / "indexed", "validation")
    truth = held_out.truth
    reverse = np.arange(len(held_out.track_ids))[::-1]
    rows = [np.sort(reverse[truth.row(user)]) for user in range(truth.n_users)]
    moved = truth._replace(indices=np.concatenate(rows).astype(np.int32))
    hashes = hash_rows(moved, held_out.track_ids.take(pa.array(reverse)))
    of_user = dict(zip(held_out.user_ids.to_pylist(), hashes.tolist(), strict=True))
    assert column(evaluation, folder, "truth") == {
        int(user): of_user[user_id]
        for user, user_id in zip(held_out.users, held_out.user_ids.to_pylist(), strict=True)
    }
    changed = truth._replace(indices=np.append(truth.indices[:-1], np.int32(0)))
    assert np.count_nonzero(hash_rows(changed, held_out.track_ids) != hashes) == 1


def test_the_stage_writes_the_same_bytes_for_any_number_of_threads(
    folder, plays, tmp_path, monkeypatch
):
    inputs = {name: folder / name for name in ("indexed", "factors", "baselines")}
    tables = {"per_user": "per_user.parquet", "lists": "lists.parquet"}
    written = []
    for threads in ("1", "3"):
        monkeypatch.setenv("MUSICREC_THREADS", threads)
        output = tmp_path / threads
        output.mkdir()
        outputs = {**tables, "metrics": "evaluate.json", "plots": "plots"}
        paths = {**inputs, **outputs}
        done = stage_process("evaluate", output, "evaluate: {k: [5, 10, 200]}", **paths)
        assert done.returncode == 0, done.stderr
        written.append(contents(output))
    assert len(written[0]) == 11  # with params.yaml
    assert written[0] == written[1]
    assert pq.read_schema(tmp_path / "1/lists.parquet").names == list(COLUMNS)
    figures = read_json(tmp_path / "1/evaluate.json")
    assert list(figures) == ["validation"]  # so that no diff subtracts one split from another
    assert figures["validation"]["users"] == len(by_user(plays.validation))


def test_a_split_without_plays_is_one_sentence(folder, plays, tmp_path):
    nobody = type(plays)(plays.train, set(), plays.test, plays.users, plays.items)
    write_indexed(tmp_path / "indexed", nobody)
    with pytest.raises(MusicRecError, match="holds no play, so there is nobody to judge"):
        read_held_out(tmp_path / "indexed", "validation")
