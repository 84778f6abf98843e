"""Plays of any format in, three clean splits out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.errors import MusicRecError, warn
from musicrec.ingest.read.columns import mapping_of, read_aliases
from musicrec.ingest.read.reader import Reader
from musicrec.ingest.report import ALSO_IN_TRAIN, Tally
from musicrec.ingest.source.files import list_files
from musicrec.ingest.split import protocol
from musicrec.ingest.split.merge import UserBatch, merge, merged_table
from musicrec.ingest.split.protocol import Plan
from musicrec.ingest.split.summary import (
    Merged,
    describe_splits,
    id_warnings,
    require_sound_splits,
)
from musicrec.interactions.id_columns import text_parts
from musicrec.interactions.memory import fits_in_memory, require_memory
from musicrec.params import DataParams
from musicrec.storage.parquet import HISTORY, PARTS, plays_schema

_IDS = ["user_id", "track_id"]
_SAME_LISTEN = 0.01  # share of the rows, from which rows of one user, track and time are warned of


class _Chunks:
    """Rows of `_read`, in memory or, once `in_files`, in Parquet files of `folder`."""

    def __init__(self, folder: Path) -> None:
        """Hold nothing yet; `folder` need not exist."""
        self.rows, self.in_files = 0, False
        self._in_memory: list[pa.Table] = []
        self._folder, self._files = folder, 0
        self._whole: UserBatch | None = None

    def add(self, chunk: pa.Table) -> None:
        """Keep a chunk; the first that does not fit sends all to files."""
        self.rows += chunk.num_rows
        self._in_memory.append(chunk)
        self.in_files = self.in_files or not fits_in_memory(self.rows)
        while self.in_files and self._in_memory:
            self._write(self._in_memory.pop(0))

    def batches(self, plan: Plan) -> Iterator[UserBatch]:
        """All rows at once or, read back from the files, those of one part of the users each."""
        if not self.in_files:
            self._whole = self._whole or UserBatch(range(PARTS), self._in_memory, plan)
            yield self._whole
            return
        for part in range(PARTS):
            paths = sorted(self._folder.glob(f"{part}/*"))
            chunks = [pq.read_table(path, read_dictionary=_IDS) for path in paths]
            if chunks:
                yield UserBatch([part], chunks, plan)

    def times(self) -> Iterator[np.ndarray]:
        """Times of all rows, a chunk at a time: int64 arrays."""
        for path in sorted(self._folder.rglob("*.parquet")):
            yield pq.read_table(path, columns=["time"])["time"].to_numpy()
        for chunk in self._in_memory:
            yield chunk["time"].to_numpy()

    def _write(self, chunk: pa.Table) -> None:
        users = chunk["user_id"].combine_chunks()
        part_of_row = text_parts(users.dictionary, PARTS)[users.indices]
        for part in range(PARTS):
            mine = chunk.filter(pa.array(part_of_row == part))
            for at, name in enumerate(_IDS):  # as text: a dictionary would be written whole
                mine = mine.set_column(at, name, mine[name].cast(pa.string()))
            if mine.num_rows:
                path = self._folder / f"{part}/{self._files:06d}.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                pq.write_table(mine, path)
        self._files += 1


def ingest(params: DataParams, folder: Path, judged: str = "validation") -> dict[str, Any]:
    """Read, check, merge and split the plays of `params.source`.

    Every row is checked where it is read. Rows that fit in memory are merged there, others one part
    of the users after another, with the same bytes.

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
    protocol.require_protocol(params)
    reader = open_source(params)
    chunks = _Chunks(folder / "chunks")
    tally = _read(reader, params, chunks.add)
    tally.require_good()
    windows = (
        protocol.windows_of(params, judged, chunks.times) if params.protocol == "temporal" else {}
    )
    plan = Plan(params, protocol.splits_of(params, reader.tables, judged), windows)
    if chunks.in_files:
        require_memory(chunks.rows // PARTS, params.source)
    merged = merge(lambda: chunks.batches(plan), plan, folder)
    shutil.rmtree(folder / "chunks", ignore_errors=True)
    return _summary(tally, merged, plan, folder)


def read_plays(params: DataParams) -> pa.Table:
    """Read, check and merge the plays of `params.source`, without a split; raises as `ingest`.

    Returns
    -------
    pyarrow.Table
        `user_id`, `track_id`, `count` and, where a timestamp is mapped, `last_played`; by the bytes
        of user and track, one row each. Empty where the source has no rows or `data.keep` leaves
        out all.
    """
    params = params.replace(protocol="holdout")
    chunks: list[pa.Table] = []
    tally = _read(open_source(params), params, chunks.append)
    if tally.rows.total() == tally.seen["rows_filtered"]:
        return plays_schema(timed=params.columns.timestamp is not None).empty_table()
    tally.require_good()
    return merged_table(chunks, params)


def _read(reader: Reader, params: DataParams, keep: Callable[[pa.Table], None]) -> Tally:
    """Read and check all rows; `keep` gets the good ones, with `table`, its number."""
    tables = list(reader.tables)
    tally = Tally(tables, params)
    for table, file, checked in reader.pieces():
        tally.add(table, file, checked)
        good, n = checked.good, checked.good.num_rows
        if n:
            keep(good.append_column("table", pa.array(np.full(n, tables.index(table), np.int8))))
    warn(*tally.warnings())
    return tally


def open_source(params: DataParams) -> Reader:
    """What reads the source."""
    files, left_out = list_files(params.source, params.files)
    every = list_files(params.source)[0] if params.aliases else []
    aliases, path = read_aliases(params.aliases, every)
    tables = protocol.tables_of([file for file in files if file.path != path], params)
    relatives = [file.relative for members in tables.values() for file in members]
    mapping = mapping_of(params, relatives, aliases)
    if left_out:
        names = ", ".join(left_out)[:200]
        warn(f"{params.source}: data.files leaves out {len(left_out)} files: {names}")
    return Reader(tables, mapping)


def _summary(tally: Tally, merged: Merged, plan: Plan, folder: Path) -> dict[str, dict[str, Any]]:
    params = plan.params
    for name, n, _ in merged.overlaps:
        tally.rejected[name][ALSO_IN_TRAIN] += n
    if merged.overlaps and params.on_bad_rows == "error":
        split, _, pair = min(merged.overlaps, key=lambda one: (plan.splits.index(one[0]), one[2]))
        rows = tally.rejected[split][ALSO_IN_TRAIN]
        history = f" or {split}{HISTORY}" * (f"{split}{HISTORY}" in plan.splits)
        raise MusicRecError(
            f"{params.source}: {rows:,} row{'s' * (rows > 1)} of {split} (columns "
            f"{params.columns.user!r} and {params.columns.track!r}) "
            f"{'is' if rows == 1 else 'are'} in train{history} too, first user {pair[0]!r}, track "
            f"{pair[1]!r}; fix the source or set "
            "data.on_bad_rows: drop"
        )
    protocol.require_splits(folder, plan)
    described = describe_splits(merged.contents)
    require_sound_splits(merged.contents, params)
    source = tally.source() | {"merged_rows": merged.numbers["merged"]}
    if params.columns.timestamp is not None:
        again, rows = merged.numbers["again"], merged.numbers["rows"]
        source["rows_same_listen"] = again
        if params.same_listen is None and again > _SAME_LISTEN * rows:
            warn(
                f"{params.source}: {again:,} of {rows:,} rows have user, track and time "
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
        summary[split] |= {"from": protocol.shown(start), "until": protocol.shown(stop)}
    if plan.left_out:
        summary["left_out"] = {name: merged.numbers[name] for name in plan.left_out}
    return summary
