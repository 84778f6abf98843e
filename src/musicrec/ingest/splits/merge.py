"""One row a user and track: duplicates summed, each play given its split, all of it counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from musicrec.errors import MusicRecError
from musicrec.ingest.rows.flaws import MAX_COUNT, REASONS
from musicrec.ingest.rows.suspicions import group_sums, numbers
from musicrec.ingest.splits.filters import needs_whole_table
from musicrec.ingest.splits.split import SPLITS, holdout_split
from musicrec.params import DataParams
from musicrec.storage.parquet import PARTS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Observation


def merge_plays(
    tables: dict[str, list[DataFrame]], params: DataParams, observation: Observation
) -> DataFrame:
    """Merge checked rows into one row a (user, track), with its split.

    All in one shuffle: rows go to `PARTS` partitions by hash of the user, and merging, splitting,
    counting and the caller's sort happen within each. Numbers are observed after the shuffle, in
    the job's last stage, where Spark counts every task exactly once.

    Parameters
    ----------
    tables : dict
        Frames of `row_checks.check_rows`: by split, or one table called `plays`.
    observation : Observation
        Gets what `merge_summary` reads.

    Returns
    -------
    DataFrame
        `split`, `user_id`, `track_id`, `count`. A (user, track) of training that is held out too
        is in training alone. Where the split needs the whole table first
        (`filters.needs_whole_table`), all are in training and `merged` and `time` stay.
    """
    from pyspark.sql import functions as F

    timed = params.columns.timestamp is not None
    wanted = ["reason", "user_id", "track_id", "count", *(["time", "time_form"] if timed else [])]
    frames = [
        frame.select(*wanted, F.lit(name).alias("table"))
        for name, members in tables.items()
        for frame in members
    ]
    rows = frames[0]
    for frame in frames[1:]:
        rows = rows.unionByName(frame)
    sums = []
    for name in tables:
        here = F.col("table") == name
        sums.append(F.try_sum(F.when(here, F.col("count"))).alias(f"count_{name}"))
        sums.append(F.count_if(here).alias(f"rows_{name}"))
    if timed:
        sums.append(F.max("time").alias("time"))
    sums += group_sums(timed=timed)
    # Bad rows have no ids, so they fall into one group a reason.
    groups = rows.repartition(PARTS, "user_id").groupBy("reason", "user_id", "track_id").agg(*sums)
    if params.protocol == "given":
        split = _first_split([F.lit(name) for name in SPLITS])
        count = _first_split([F.col(f"count_{name}") for name in SPLITS])
        merged = _first_split([F.col(f"rows_{name}") for name in SPLITS]) - 1
    else:
        whole = needs_whole_table(params)
        split = F.lit("train") if whole else holdout_split(params, timed=timed)
        count, merged = F.col("count_plays"), F.col("rows_plays") - 1
    plays = groups.withColumns({"split": split, "count": count, "merged": merged})
    reasons = [] if params.on_bad_rows == "error" else list(REASONS)  # with error, Spark has failed
    plays = plays.observe(observation, *_numbers(list(tables), reasons, timed=timed))
    kept = ["split", "user_id", "track_id", "count"]
    if needs_whole_table(params):
        kept += ["merged", *(["time"] if timed else [])]
    return plays.filter(F.col("reason").isNull()).select(*kept)


def _first_split(values: list[Column]) -> Column:
    """The value of the first split that has rows of a (user, track)."""
    from pyspark.sql import functions as F

    train, validation, test = values
    return (
        F.when(F.col("rows_train") > 0, train)
        .when(F.col("rows_validation") > 0, validation)
        .otherwise(test)
    )


def _numbers(tables: list[str], reasons: list[str], *, timed: bool) -> list[Column]:
    from pyspark.sql import functions as F

    reason, pair = F.col("reason"), F.struct("user_id", "track_id")
    too_large = reason.isNull() & F.col("count").isNull()  # try_sum overflowed
    rows_of_all = [F.col(f"rows_{table}") for table in tables]
    observed = [
        *numbers(sum(rows_of_all[1:], rows_of_all[0]), timed=timed),
        F.count_if(too_large).alias("too_large"),
        F.min(F.when(too_large, pair)).alias("first_too_large"),
    ]
    for split in SPLITS:
        here = reason.isNull() & (F.col("split") == split)
        observed.append(F.sum(F.when(here, F.col("merged"))).alias(f"merged {split}"))
    for table in tables:
        rows = F.col(f"rows_{table}")
        observed.append(F.sum(rows).alias(f"read {table}"))
        for name in reasons:
            observed.append(F.sum(F.when(reason == name, rows)).alias(f"{name} {table}"))
        if "train" in tables and table != "train":
            both = reason.isNull() & (F.col("rows_train") > 0) & (rows > 0)
            observed.append(F.sum(F.when(both, rows)).alias(f"also_in_train {table}"))
            observed.append(F.min(F.when(both, pair)).alias(f"first also_in_train {table}"))
    return observed


def merge_summary(
    observed: dict[str, Any], tables: list[str], params: DataParams
) -> dict[str, dict[str, Any]]:
    """Put the observed numbers into words and order, and stop at what must not pass.

    Returns
    -------
    dict
        `source`: `rows`, `merged_rows`, `rejected_rows`, `rejected` by reason (those that
        occurred), and `times_of_zero` with a timestamp. For each split `merged_rows`; with the
        `given` protocol `rejected_rows` and `rejected` too.

    Raises
    ------
    MusicRecError
        A table has no row; a sum of counts is above int64; a held-out play is in training too and
        bad rows are errors.
    """
    for table in tables:
        if not observed.get(f"read {table}"):
            where = params.source if table == "plays" else f"{params.source}: {table}"
            raise MusicRecError(f"{where} has no rows")
    if observed["too_large"]:
        user, track = observed["first_too_large"]
        raise MusicRecError(
            f"{params.source}: column {params.columns.count!r}: the counts of duplicate rows sum "
            f"to more than {MAX_COUNT} for {observed['too_large']:,} (user, track), first user "
            f"{user!r}, track {track!r}; fix the source"
        )
    rejected = {
        table: {
            name: rows
            for name in [*REASONS, "also_in_train"]
            if (rows := observed.get(f"{name} {table}"))
        }
        for table in tables
    }
    for table in tables:
        _require_some_left(rejected[table], observed[f"read {table}"], table, params)
    if params.on_bad_rows == "error":
        for table in tables:
            if "also_in_train" in rejected[table]:
                user, track = observed[f"first also_in_train {table}"]
                rows = rejected[table]["also_in_train"]
                raise MusicRecError(
                    f"{params.source}: {rows:,} row{'s' * (rows > 1)} of {table} (columns "
                    f"{params.columns.user!r} and {params.columns.track!r}) are in train too, "
                    f"first user {user!r}, track {track!r}; fix the source or set "
                    "data.on_bad_rows: drop"
                )
    merged = {split: observed[f"merged {split}"] or 0 for split in SPLITS}
    total: dict[str, int] = {}
    for reasons in rejected.values():
        for name, rows in reasons.items():
            total[name] = total.get(name, 0) + rows
    summary: dict[str, dict[str, Any]] = {
        "source": {
            "rows": sum(observed[f"read {table}"] for table in tables),
            "merged_rows": sum(merged.values()),
            **_rejected(total),
        }
    }
    if "times_of_zero" in observed:
        summary["source"]["times_of_zero"] = observed["times_of_zero"] or 0
    for split in SPLITS:
        summary[split] = {"merged_rows": merged[split]}
        if split in rejected:
            summary[split] |= _rejected(rejected[split])
    return summary


def _require_some_left(rejected: dict[str, int], rows: int, table: str, params: DataParams) -> None:
    """Stop where bad rows were to be dropped and all are bad: the source was misunderstood."""
    if sum(rejected.values()) < rows:
        return
    reason = max(rejected, key=lambda name: rejected[name])
    role, words, advice = REASONS.get(reason, ("", "a play that training has too", ""))
    what = f"column {getattr(params.columns, role)!r} is {words}" if role else f"it has {words}"
    where = params.source if table == "plays" else f"{params.source}: {table}"
    share = "all" if rejected[reason] == rows else f"{rejected[reason]:,} of them"
    raise MusicRecError(
        f"{where}: no usable row is left of {rows:,}: {share} because {what}"
        + (f"; {advice}" if advice else "; check data.columns")
    )


def _rejected(reasons: dict[str, int]) -> dict[str, Any]:
    return {"rejected_rows": sum(reasons.values()), "rejected": reasons}
