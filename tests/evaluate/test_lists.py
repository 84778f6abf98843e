"""Lists as files: what evaluate keeps, what is wrong with anybody's, and TREC's format."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from musicrec.als.fold_in import read_model
from musicrec.errors import MusicRecError
from musicrec.evaluate.judge import Lists, judge, recommend
from musicrec.evaluate.lists import lists_table, read_lists, write_trec
from musicrec.interactions.held_out import read_held_out
from musicrec.params import EvaluateParams

PARAMS = EvaluateParams(k=(5, 10))


@pytest.fixture(scope="module")
def held_out(folder):
    return read_held_out(folder / "indexed", "validation")


@pytest.fixture(scope="module")
def lists(folder, held_out):
    return recommend(held_out, *read_model(folder / "factors", held_out), PARAMS)


def written(path: Path, rows: list[tuple], names: tuple[str, ...]) -> Path:
    pq.write_table(pa.table(list(map(pa.array, zip(*rows, strict=True))), names=names), path)
    return path


@pytest.mark.parametrize("dropped", ["position", "score"])
def test_what_evaluate_keeps_comes_back_and_is_judged_alike(held_out, lists, tmp_path, dropped):
    table = lists_table(held_out, lists.judged, lists.scores)
    ids = table.column("user_id").to_pylist()
    assert ids == sorted(ids) and table.num_rows == np.count_nonzero(lists.judged >= 0)
    shuffled = table.drop_columns([dropped]).take(np.random.default_rng(0).permutation(len(ids)))
    pq.write_table(shuffled, tmp_path / "lists.parquet")
    csv.write_csv(shuffled, tmp_path / "lists.csv")
    found, notes = read_lists(tmp_path / "lists.parquet", held_out, PARAMS)
    np.testing.assert_array_equal(found, lists.judged)
    np.testing.assert_array_equal(read_lists(tmp_path / "lists.csv", held_out, PARAMS)[0], found)
    assert notes == [
        "held-out users without a list, judged by an empty one: 5",
        "lists shorter than 10, the rest misses: 5",
    ]
    again = judge(held_out, Lists(found, lists.with_seen, lists.scores), PARAMS)
    assert again.table.equals(judge(held_out, lists, PARAMS).table)


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint8(), pa.float32()])
def test_scores_of_any_kind_of_number(held_out, tmp_path, kind):
    least = -128 if kind == pa.int8() else 0
    new = np.setdiff1d(np.arange(len(held_out.track_ids)), held_out.history.row(0))[:3]
    columns = [held_out.user_ids.take(pa.array([0] * 3)), held_out.track_ids.take(pa.array(new))]
    table = pa.table([*columns, pa.array([1, least, 127], kind)], ["user_id", "track_id", "score"])
    pq.write_table(table, tmp_path / "lists.parquet")
    found, _ = read_lists(tmp_path / "lists.parquet", held_out, PARAMS)
    assert found[0, :3].tolist() == new[[2, 0, 1]].tolist()


def test_what_is_wrong_with_lists_is_counted_and_judged_as_it_says(held_out, tmp_path):
    users, tracks = held_out.user_ids.to_pylist(), held_out.track_ids.to_pylist()
    seen = tracks[held_out.history.row(0)[0]]
    fresh = [t for i, t in enumerate(tracks) if i not in held_out.history.row(0)]
    order = [fresh[3], "nobody's", seen, fresh[3], fresh[1], "nobody's either", "nobody's"]
    rows = [(users[0], track, position) for position, track in enumerate(order)]
    rows += [("a stranger", fresh[0], 1), ("a stranger", fresh[1], 2), ("another", fresh[1], 1)]
    path = written(tmp_path / "lists.parquet", rows[::-1], ("user_id", "track_id", "position"))
    found, notes = read_lists(path, held_out, PARAMS)
    unknown = len(tracks)
    expected = [tracks.index(fresh[3]), unknown, tracks.index(fresh[1]), unknown]
    assert found[0].tolist() == expected + [-1] * 6
    assert (found[1:] == -1).all()
    assert notes == [
        "users who are not held out, ignored: 2",
        f"held-out users without a list, judged by an empty one: {len(users) - 1}",
        f"lists shorter than 10, the rest misses: {len(users)}",
        "tracks repeated in a list, left out: 2",
        "tracks of the user's history, left out (evaluate.seen): 1",
        "tracks that training does not know, misses: 2",
    ]
    kept, _ = read_lists(path, held_out, PARAMS.replace(seen="keep"))
    assert tracks.index(seen) in kept[0]
    table = judge(held_out, Lists(found, None, np.empty(0)), PARAMS).table
    assert table.num_rows == len(users) and "spark_map" not in table.column_names
    write_trec(tmp_path, held_out, found, "odd")
    names = [line.split()[2] for line in (tmp_path / "run.txt").read_text().splitlines()]
    assert names == [fresh[3], "unknown-2", fresh[1], "unknown-4"]


PLACED, SCORED = ("user_id", "track_id", "position"), ("user_id", "track_id", "score")


@pytest.mark.parametrize(
    ("content", "names", "reason"),
    [
        ([("u", "t")], ("user_id", "track_id"), "has no column position or score"),
        ([("u", 1)], ("user_id", "score"), "has no column track_id"),
        ([("u", "t", "1")], PLACED, "position is string, not a num"),
        ([("u", "t", 1)], PLACED, "none of its users is held out"),
        ([("u", None, 1)], SCORED, "track_id is empty in 1 of 1 rows"),
        ([("u", "t", float("nan"))], SCORED, "score is empty in 1 of 1"),
        ("user,track_id,position\n", (), "has no column user_id, only user, track_id, position"),
        ("user_id,track_id,position\n1,2\n", (), "lists.csv: no table, CSV, TSV or Parquet"),
        ("user_id,track_id,position\n", (), "lists.csv: has no rows"),
        (None, (), "lists.parquet: no such file"),
        (Path.mkdir, (), "no Parquet file there"),
    ],
)
def test_lists_that_cannot_be_read_are_one_sentence(held_out, tmp_path, content, names, reason):
    path = tmp_path / ("lists.csv" if isinstance(content, str) else "lists.parquet")
    if isinstance(content, str):
        path.write_text(content)
    elif callable(content):
        content(path)
    elif content:
        written(path, content, names)
    with pytest.raises(MusicRecError, match=reason):
        read_lists(path, held_out, PARAMS)


RANX = """
import json, ranx, sys
qrels = ranx.Qrels.from_file("qrels.txt", kind="trec")
run = ranx.Run.from_file("run.txt", kind="trec")
found = ranx.evaluate(qrels, run, sys.argv[1:], make_comparable=True)
print(json.dumps([float(found[name]) for name in sys.argv[1:]]))
"""


def test_trec_files_give_ranx_our_figures(held_out, lists, tmp_path):
    """Which reads them itself and shares no code with us; users without a list score 0 in both."""
    write_trec(tmp_path, held_out, lists.judged, "als")
    assert len((tmp_path / "qrels.txt").read_text().splitlines()) == len(held_out.truth.indices)
    with pytest.raises(MusicRecError, match="'two words' holds white space"):
        write_trec(tmp_path / "trec", held_out, lists.judged, "two words")
    assert not (tmp_path / "trec").exists()
    pytest.importorskip("ranx", reason="ranx is part of the bench extra: make setup-bench")
    theirs = {"ndcg@10": "ndcg@10", "reciprocal_rank@10": "mrr@10", "r_precision@10": "r-precision"}
    words = [sys.executable, "-c", RANX, *theirs.values()]
    # Its kernels take half a minute to compile, and nothing to interpret on so few lists.
    env = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(words, cwd=tmp_path, env=env, stdout=subprocess.PIPE, check=True)
    table = judge(held_out, lists, PARAMS).table
    for ours, found in zip(theirs, json.loads(done.stdout), strict=True):
        assert found == pytest.approx(np.mean(table.column(ours).to_numpy()), rel=1e-9), ours
