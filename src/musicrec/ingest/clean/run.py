"""Plays without a flaw, read, merged and split in this process: most sources need no Spark.

What is not plain and sound to the last row is left to Spark's road, which judges every row and says
what is wrong. The splits have the same bytes either way (`tests/ingest/test_clean.py`).
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from musicrec.columnar.hashing import text_parts
from musicrec.ingest.clean.chunk import Doubt
from musicrec.ingest.clean.files import clean_chunks
from musicrec.ingest.clean.plays import Part, Plays, coded_plays, merged_rows, require_apart
from musicrec.ingest.clean.split import (
    LEFT_OUT,
    Usable,
    left_out,
    lots,
    places,
    split_part,
    usable_plays,
)
from musicrec.ingest.filters import add_filtered, needs_whole_table, require_table
from musicrec.ingest.merge import merge_summary
from musicrec.ingest.overlap import strangers
from musicrec.ingest.source import list_files, local_inputs
from musicrec.ingest.split import (
    SPLITS,
    require_splits,
    require_training_users,
    splits_of,
    tables_of,
)
from musicrec.ingest.summary import Contents, describe_splits, require_disjoint_users
from musicrec.jit.parallel import for_blocks
from musicrec.params.data import DataParams
from musicrec.storage.checksums import write_checksums
from musicrec.storage.parquet import PARTS, ROW_GROUP, write_rows

SCHEMA = pa.schema([("user_id", pa.string()), ("track_id", pa.string()), ("count", pa.int64())])
_TYPICAL = 1 << 16  # counts below are tallied by place, all others by sorting


class Tally(NamedTuple):
    """What the rows of a split in one part add up to; `users` and `tracks` are bool, by code."""

    users: np.ndarray
    tracks: np.ndarray
    histogram: Counter[int]
    merged: int


def ingest_clean(params: DataParams, folder: Path) -> dict[str, Any] | None:
    """Read, merge and split local plays, if they are plain, without a flaw, and fit in memory.

    Parameters
    ----------
    folder : Path
        Empty; gets the folders of the splits, as Spark's road would write them.

    Returns
    -------
    dict or None
        What `metrics/data.json` holds; None where Spark must look, with nothing left in `folder`.

    Raises
    ------
    MusicRecError
        There is no such source, or its files or columns cannot be used.
    """
    far = local_inputs(params.source) is None
    if far or (params.columns.timestamp is not None and params.time_format != "auto"):
        return None
    require_table(params)
    require_training_users(params)
    tables = tables_of(list_files(None, params.source), params)
    try:
        chunks = clean_chunks(tables, params, folder / "source")
        shutil.rmtree(folder / "source", ignore_errors=True)
        return _write(coded_plays(chunks, params), params, folder)
    except Doubt:
        for left in folder.iterdir():
            shutil.rmtree(left)
        return None


class Outcome(NamedTuple):
    """What a part gives.

    Attributes
    ----------
    tallies : dict
        Of each split that has rows in it.
    merged : int
        Source rows of each (user, track) beyond the first, together.
    left_out : dict
        Of `split.left_out`; empty where nothing is filtered.
    """

    tallies: dict[str, Tally]
    merged: int
    left_out: dict[str, int]


def _write(plays: Plays, params: DataParams, folder: Path) -> dict[str, Any]:
    names = splits_of(params)
    for name in names:
        (folder / name).mkdir()
    part_of_user = text_parts(plays.users.ids, PARTS).astype(np.int8)
    held = np.zeros(0, np.int8) if params.protocol == "given" else lots(plays.users.ids, params)
    merged: list[dict[str, Part]] = [{} for _ in range(PARTS)]
    usable: list[Usable] | None = None
    outcomes: list[Outcome | None] = [None] * PARTS

    def merge(start: int, stop: int) -> None:
        for number in range(start, stop):
            mine = part_of_user == number
            merged[number] = {name: merged_rows(plays, mine, name) for name in plays.tables}

    def write(start: int, stop: int) -> None:
        for number in range(start, stop):
            if usable is None:
                merge(number, number + 1)
            tables, merged[number] = merged[number], {}
            counted: dict[str, int] = {}
            doubles = sum(int(part.merged.sum()) for part in tables.values())
            if params.protocol == "given":
                require_apart(tables, plays)
            else:
                part = tables["plays"]
                passed = np.ones(len(part.users), bool)
                if usable is not None:
                    passed = usable[number].kept & usable[number].known
                found = places(part, plays, held, passed, params)
                if usable is not None:
                    counted = left_out(part, usable[number], found)
                tables = split_part(part, found, params)
            outcomes[number] = Outcome(_written(tables, plays, folder, number), doubles, counted)

    every = list(range(PARTS + 1))
    if needs_whole_table(params):
        for_blocks(merge, every)
        usable = usable_plays([tables["plays"] for tables in merged], plays, held, params)
    for_blocks(write, every)
    for name in names:
        if any((folder / name).iterdir()):
            write_checksums(folder / name)
        else:
            (folder / name).rmdir()
    require_splits(folder, params)
    return _summary(plays, [one for one in outcomes if one is not None], params)


def _written(tables: dict[str, Part], plays: Plays, folder: Path, number: int) -> dict[str, Tally]:
    """Write a part of each split that has rows in it."""
    tallies = {}
    for name, part in tables.items():
        if len(part.counts):
            path = folder / name / f"part-{number:05d}.parquet"
            write_rows(path, _tables(part, plays), SCHEMA)
            tallies[name] = _tally(part, plays)
    return tallies


def _tables(part: Part, plays: Plays) -> Iterator[pa.Table]:
    for start in range(0, len(part.counts), ROW_GROUP):
        users, tracks, counts = (column[start : start + ROW_GROUP] for column in part[:3])
        ids = plays.users.ids.take(pa.array(users)), plays.tracks.ids.take(pa.array(tracks))
        yield pa.table([*ids, pa.array(counts)], SCHEMA)


def _tally(part: Part, plays: Plays) -> Tally:
    users, tracks = np.zeros(len(plays.users.ids), bool), np.zeros(len(plays.tracks.ids), bool)
    users[part.users] = tracks[part.tracks] = True
    usual = part.counts < _TYPICAL
    tallied = np.bincount(part.counts[usual])
    values, rows = np.unique(part.counts[~usual], return_counts=True)
    found = np.flatnonzero(tallied)
    histogram = Counter(dict(zip(found.tolist(), tallied[found].tolist(), strict=True)))
    histogram.update(dict(zip(values.tolist(), rows.tolist(), strict=True)))
    return Tally(users, tracks, histogram, int(part.merged.sum()))


def _summary(plays: Plays, outcomes: list[Outcome], params: DataParams) -> dict[str, Any]:
    observed: dict[str, Any] = {"too_large": 0}
    if params.columns.timestamp is not None:
        observed["times_of_zero"] = 0
    for name, (start, stop) in plays.tables.items():
        observed[f"read {name}"] = stop - start
    contents = {}
    for name in splits_of(params):
        found = [one.tallies[name] for one in outcomes if name in one.tallies]
        observed[f"merged {name}"] = sum(tally.merged for tally in found)
        users, tracks = (np.logical_or.reduce(used) for used in list(zip(*found, strict=True))[:2])
        contents[name] = Contents(
            plays.users.ids.filter(pa.array(users)),
            plays.tracks.ids.filter(pa.array(tracks)),
            dict(sum((tally.histogram for tally in found), Counter())),
        )
    whole = needs_whole_table(params)
    merged = dict(observed)
    if whole:
        merged["merged train"] = sum(one.merged for one in outcomes)  # before anything is left out
        merged |= {f"merged {name}": 0 for name in SPLITS[1:]}
    summary = merge_summary(merged, list(plays.tables), params)
    if params.protocol == "given":
        require_disjoint_users(contents, params)
    if whole:
        missing = {name: sum(one.left_out[name] for one in outcomes) for name in LEFT_OUT}
        add_filtered(summary, observed | missing, params)
    for name, described in describe_splits(contents).items():
        summary[name] = described | summary.get(name, {})
    if any(strangers(summary, params)):
        raise Doubt
    return summary
