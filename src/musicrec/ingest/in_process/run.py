"""Plays without a flaw, read, merged and split in this process: most sources need no Spark.

What is not plain and sound to the last row is left to Spark's road, which judges every row and says
what is wrong. The splits have the same bytes either way (`tests/ingest/test_in_process.py`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from musicrec.ingest.in_process.chunk import Doubt
from musicrec.ingest.in_process.files import plain_chunks
from musicrec.ingest.in_process.outcome import Outcome, Tally, summarise, tally
from musicrec.ingest.in_process.plays import Part, Plays, coded_plays, merged_rows, require_apart
from musicrec.ingest.in_process.split import (
    Usable,
    left_out,
    lots,
    places,
    split_part,
    usable_plays,
)
from musicrec.ingest.source.listing import list_files, local_inputs
from musicrec.ingest.splits.filters import needs_whole_table, require_table
from musicrec.ingest.splits.split import (
    require_splits,
    require_training_users,
    splits_of,
    tables_of,
    without_unused_time,
)
from musicrec.interactions.hashing import text_parts
from musicrec.interactions.memory import in_process
from musicrec.jit.parallel import for_blocks
from musicrec.params import DataParams
from musicrec.storage.checksums import write_checksums
from musicrec.storage.parquet import PARTS, PLAYS, ROW_GROUP, write_rows


def ingest_in_process(params: DataParams, folder: Path) -> dict[str, Any] | None:
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
    params = without_unused_time(params)
    far = local_inputs(params.source) is None
    if (
        far
        or not in_process(0)
        or (params.columns.timestamp is not None and params.time_format != "auto")
    ):
        return None
    require_table(params)
    require_training_users(params)
    tables = tables_of(list_files(None, params.source), params)
    try:
        chunks = plain_chunks(tables, params, folder / "source")
        shutil.rmtree(folder / "source", ignore_errors=True)
        return _write(coded_plays(chunks, params), params, folder)
    except Doubt:
        for left in folder.iterdir():
            shutil.rmtree(left)
        return None


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
            doubles = sum(int(part.merged.sum()) for part in tables.values())
            passed = None if usable is None else usable[number]
            tables, missing = _split(tables, plays, held, passed, params)
            outcomes[number] = Outcome(_written(tables, plays, folder, number), doubles, missing)

    every = list(range(PARTS + 1))
    if needs_whole_table(params):  # a track counts its users in all parts
        for_blocks(merge, every)
        usable = usable_plays([tables["plays"] for tables in merged], plays, held, params)
    for_blocks(write, every)
    for name in names:
        if any((folder / name).iterdir()):
            write_checksums(folder / name)
        else:
            (folder / name).rmdir()
    require_splits(folder, params)
    return summarise(plays, [one for one in outcomes if one is not None], params)


def _split(
    tables: dict[str, Part],
    plays: Plays,
    held: np.ndarray,
    usable: Usable | None,
    params: DataParams,
) -> tuple[dict[str, Part], dict[str, int]]:
    """The splits of one part, and what the filters leave out."""
    if params.protocol == "given":
        require_apart(tables, plays)
        return tables, {}
    part = tables["plays"]
    passed = np.ones(len(part.users), bool) if usable is None else usable.kept & usable.known
    found = places(part, plays, held, passed, params)
    missing = {} if usable is None else left_out(part, usable, found)
    return split_part(part, found, params), missing


def _written(tables: dict[str, Part], plays: Plays, folder: Path, number: int) -> dict[str, Tally]:
    """Write a part of each split that has rows in it."""
    tallies = {}
    for name, part in tables.items():
        if len(part.counts):
            path = folder / name / f"part-{number:05d}.parquet"
            write_rows(path, _tables(part, plays), PLAYS)
            tallies[name] = tally(part, plays)
    return tallies


def _tables(part: Part, plays: Plays) -> Iterator[pa.Table]:
    for start in range(0, len(part.counts), ROW_GROUP):
        users, tracks, counts = (column[start : start + ROW_GROUP] for column in part[:3])
        ids = plays.users.ids.take(pa.array(users)), plays.tracks.ids.take(pa.array(tracks))
        yield pa.table([*ids, pa.array(counts)], PLAYS)
