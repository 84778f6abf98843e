"""Plays of any format in, three clean splits out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from musicrec.errors import MusicRecError, warn
from musicrec.ingest.read.columns import mapping_of, read_aliases
from musicrec.ingest.read.judge import Chunk
from musicrec.ingest.read.reader import Reader
from musicrec.ingest.report import ALSO_IN_TRAIN, Tally
from musicrec.ingest.source.files import SourceFile, list_files
from musicrec.ingest.split.chunks import Chunks
from musicrec.ingest.split.in_memory import merge_in_memory, merged_table
from musicrec.ingest.split.protocol import (
    Plan,
    require_protocol,
    require_splits,
    splits_of,
    tables_of,
)
from musicrec.ingest.split.summary import (
    Merged,
    describe_splits,
    id_warnings,
    require_sound_splits,
)
from musicrec.ingest.split.windows import shown, windows_of
from musicrec.params import DataParams
from musicrec.storage.parquet import HISTORY, plays_schema

_SAME_LISTEN = 0.01  # share of the rows, from which rows of one user, track and time are warned of


def ingest(params: DataParams, folder: Path, judged: str = "validation") -> dict[str, Any]:
    """Read, check, merge and split the plays of `params.source`.

    Every row is judged where it is read. Rows that fit in memory are merged there; others, or all
    where a Spark master is named, are merged by Spark, with the same bytes.

    Parameters
    ----------
    folder : Path
        Empty; gets the folders of `protocol.splits_of`, each with `part-0000N.parquet` of columns
        `user_id` string, `track_id` string, `count` int64 > 0, and, where a timestamp is mapped,
        `last_played` int64, seconds UTC; one row a (user, track).
    judged : str
        `evaluate.split`: which of the held-out splits `temporal` fills.

    Returns
    -------
    dict
        What `metrics/data.json` is made of: see docs/data.md.

    Raises
    ------
    MusicRecError
        The source cannot be used as it is; the sentence says why.
    """
    require_protocol(params)
    reader, tables = open_source(params)
    chunks = Chunks(list(tables), folder / "chunks")
    tally = _read(reader, list(tables), params, chunks.add)
    tally.require_good()
    windows = windows_of(params, judged, chunks.times) if params.protocol == "temporal" else {}
    plan = Plan(params, splits_of(params, tables, judged), windows)
    if chunks.in_files:
        from musicrec.ingest.split.on_spark import merge_on_spark

        merged = merge_on_spark({table: chunks.folder(table) for table in tables}, plan, folder)
        shutil.rmtree(folder / "chunks")
    else:
        merged = merge_in_memory(chunks.tables, plan, folder)
    return _summary(tally, merged, plan, folder)


def read_plays(params: DataParams) -> pa.Table:
    """Read, check and merge the plays of `params.source`, without a split.

    Returns
    -------
    pyarrow.Table
        `user_id`, `track_id`, `count` and, where a timestamp is mapped, `last_played`; by the bytes
        of user and track, one row each. Empty where the source has no rows.

    Raises
    ------
    MusicRecError
        As of `ingest`.
    """
    params = params.replace(protocol="holdout")
    reader, tables = open_source(params)
    chunks: list[Chunk] = []
    tally = _read(reader, list(tables), params, lambda _, chunk: chunks.append(chunk))
    if not tally.rows.total():
        return plays_schema(timed=params.columns.timestamp is not None).empty_table()
    tally.require_good()
    return merged_table([chunk for chunk in chunks if len(chunk.counts)], params)


def _read(
    reader: Reader, tables: list[str], params: DataParams, keep: Callable[[str, Chunk], None]
) -> Tally:
    """Read and judge all rows; `keep` gets the good ones of each table."""
    tally = Tally(tables, params)
    for piece in reader.pieces():
        tally.add(piece)
        keep(piece.table, piece.judged.chunk)
    warn(*tally.warnings())
    return tally


def open_source(params: DataParams) -> tuple[Reader, dict[str, list[SourceFile]]]:
    """What reads the source, and the files of its tables."""
    files, left_out = list_files(params.source, params.files)
    every = list_files(params.source)[0] if params.aliases else []
    aliases, path = read_aliases(params.aliases, every)
    tables = tables_of([file for file in files if file.path != path], params)
    relatives = [file.relative for members in tables.values() for file in members]
    mapping = mapping_of(params, relatives, aliases)
    if left_out:
        names = ", ".join(left_out)[:200]
        warn(f"{params.source}: data.files leaves out {len(left_out)} files: {names}")
    return Reader(tables, mapping), tables


def _summary(tally: Tally, merged: Merged, plan: Plan, folder: Path) -> dict[str, dict[str, Any]]:
    params = plan.params
    for overlap in merged.overlaps:
        tally.rejected[overlap.split][ALSO_IN_TRAIN] += overlap.rows
    if merged.overlaps and params.on_bad_rows == "error":
        split = merged.overlaps[0].split
        mine = [overlap for overlap in merged.overlaps if overlap.split == split]
        rows, pair = sum(overlap.rows for overlap in mine), min(overlap.pair for overlap in mine)
        history = f" or {split}{HISTORY}" * (f"{split}{HISTORY}" in plan.splits)
        raise MusicRecError(
            f"{params.source}: {rows:,} row{'s' * (rows > 1)} of {split} (columns "
            f"{params.columns.user!r} and {params.columns.track!r}) are in train{history} too, "
            f"first user {pair[0]!r}, track {pair[1]!r}; fix the source or set "
            "data.on_bad_rows: drop"
        )
    require_splits(folder, plan)
    described = describe_splits(merged.contents)
    require_sound_splits(merged.contents, params)
    source = tally.source() | {"merged_rows": merged.numbers["merged"]}
    if params.columns.timestamp is not None:
        again = source["rows_same_listen"] = merged.numbers["again"]
        if params.same_listen is None and again > _SAME_LISTEN * source["rows"]:
            warn(
                f"{params.source}: {again:,} of {source['rows']:,} rows have user, track and time "
                "of another row, as exports that overlap leave them, and are counted; set "
                "data.same_listen: once to count them once, each to say that they are plays"
            )
        if plan.drawn:
            warn(
                f"data.protocol: {params.protocol} leaves the later plays of other users in "
                "training; temporal trains on the past alone"
            )
    warn(*id_warnings(merged.contents, params))
    summary: dict[str, dict[str, Any]] = {"source": source}
    for split in plan.splits:
        summary[split] = described[split] | {"merged_rows": merged.numbers[f"merged {split}"]}
        if split in tally.rejected:
            summary[split] |= tally.of_table(split)
    for split, (start, stop) in plan.windows.items():
        summary[split] |= {"from": shown(start), "until": shown(stop)}
    if plan.left_out:
        summary["left_out"] = {name: merged.numbers[name] for name in plan.left_out}
    return summary
