"""Downsampling drops full-history users alone, by hash, the same ones every time."""

from __future__ import annotations

import itertools

import pytest

from musicrec.downsample import downsample
from musicrec.errors import MusicRecError
from musicrec.params.downsample import DownsampleParams

SCHEMA = "user_id string, track_id string, count bigint"
N_FULL, N_VALIDATION, N_TEST = 2_000, 30, 20


def plays_of(kind, n_users):
    """User i of a kind has 1 + i % 4 plays."""
    return [(f"{kind}{i}", f"t{j}", 1 + j) for i in range(n_users) for j in range(1 + i % 4)]


ROWS = plays_of("full", N_FULL) + plays_of("validation", N_VALIDATION) + plays_of("test", N_TEST)


@pytest.fixture(scope="module")
def splits(spark):
    train = spark.createDataFrame(ROWS, SCHEMA)
    validation = [(f"validation{i}", f"h{j}", 2) for i in range(N_VALIDATION) for j in range(3)]
    test = [(f"test{i}", f"h{j}", 2) for i in range(N_TEST) for j in range(3)]
    cold = [("validation without train", "h0", 1)]
    return (
        train,
        spark.createDataFrame(validation + cold, SCHEMA),
        spark.createDataFrame(test, SCHEMA),
    )


def run(splits, fraction, seed=42):
    frame, summary = downsample(*splits, DownsampleParams(fraction=fraction, seed=seed))
    return sorted(tuple(row) for row in frame.collect()), summary


def users(rows):
    return {row[0] for row in rows}


def full_history(rows):
    return {user for user in users(rows) if user.startswith("full")}


def test_held_out_users_are_whole_and_the_others_whole_or_absent(splits):
    rows, _ = run(splits, 0.2)
    kept = users(rows)
    assert rows == sorted(row for row in ROWS if row[0] in kept)
    assert {f"validation{i}" for i in range(N_VALIDATION)} <= kept
    assert {f"test{i}" for i in range(N_TEST)} <= kept
    expected, deviation = 0.2 * N_FULL, (N_FULL * 0.2 * 0.8) ** 0.5
    assert abs(len(full_history(rows)) - expected) < 4 * deviation


def test_summary_counts_users_and_plays_of_each_kind(splits):
    rows, summary = run(splits, 0.3)
    dropped = [row for row in ROWS if row[0] not in users(rows)]

    def count(found):
        return {"users": len(users(found)), "plays": len(found)}

    kinds = {
        "full_history": count([row for row in rows if row[0].startswith("full")]),
        "validation": count([row for row in rows if row[0].startswith("validation")]),
        "test": count([row for row in rows if row[0].startswith("test")]),
    }
    assert summary == {"kept": count(rows) | kinds, "dropped": count(dropped)}


def test_a_larger_fraction_keeps_the_same_users_and_more(splits):
    nested = [full_history(run(splits, fraction)[0]) for fraction in (0.1, 0.2, 0.7, 1.0)]
    for small, large in itertools.pairwise(nested):
        assert small < large
    assert len(nested[-1]) == N_FULL


def test_the_seed_chooses_and_the_order_of_rows_does_not(splits):
    train, validation, test = splits
    first, summary = run(splits, 0.2)
    assert run((train.repartition(5), validation, test), 0.2) == (first, summary)
    assert full_history(run(splits, 0.2, seed=43)[0]) != full_history(first)


def test_nothing_left_is_one_sentence(spark):
    full = spark.createDataFrame([(f"u{i}", "t", 1) for i in range(20)], SCHEMA)
    nobody = spark.createDataFrame([], SCHEMA)
    with pytest.raises(MusicRecError, match=r"downsample\.fraction = 1e-06 leaves no .* 20 full"):
        run((full, nobody, nobody), 1e-6)


def test_ids_never_reach_the_driver(splits, monkeypatch):
    """What is collected is one small table of counts."""
    from pyspark.sql.classic.dataframe import DataFrame

    collected = []
    collect = DataFrame.collect

    def watched(frame):
        rows = collect(frame)
        collected.append((frame.columns, len(rows)))
        return rows

    monkeypatch.setattr(DataFrame, "collect", watched)
    downsample(*splits, DownsampleParams())
    assert collected == [(["kind", "kept", "users", "plays"], 4)]
