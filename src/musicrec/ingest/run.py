"""Plays of any format in, three clean splits out."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.errors import MusicRecError, warn
from musicrec.ingest.read.columns import mapping_of, read_aliases
from musicrec.ingest.read.judge import Chunk
from musicrec.ingest.read.reader import Reader
from musicrec.ingest.report import ALSO_IN_TRAIN, Tally
from musicrec.ingest.source.files import SourceFile, list_files
from musicrec.ingest.split import protocol
from musicrec.ingest.split.merge import Group, merge, merged_table
from musicrec.ingest.split.protocol import Plan
from musicrec.ingest.split.summary import (
    Merged,
    describe_splits,
    id_warnings,
    require_sound_splits,
)
from musicrec.interactions.id_columns import dictionary, text_parts
from musicrec.interactions.memory import fits_in_memory, require_memory
from musicrec.params import DataParams
from musicrec.storage.parquet import HISTORY, PARTS, PLAYS, plays_schema

# Of chunks in files: microseconds since 1970, null without times.
_CHUNK = PLAYS.append(pa.field("time", pa.int64()))
_SAME_LISTEN = 0.01  # share of the rows, from which rows of one user, track and time are warned of


class _Chunks:
    """Chunks by table: in `tables`, or, once `in_files`, in Parquet files of `folder`."""

    def __init__(self, names: list[str], scratch: Path) -> None:
        """Hold nothing yet; `scratch` need not exist."""
        self.tables: dict[str, list[Chunk]] = {name: [] for name in names}
        self.rows, self.in_files = 0, False
        self._scratch, self._files = scratch, 0
        self._whole: Group | None = None

    def add(self, table: str, chunk: Chunk) -> None:
        """Keep a chunk; the first that does not fit sends all to files."""
        if not len(chunk.counts):
            return
        self.rows += len(chunk.counts)
        self.tables[table].append(chunk)
        if self.in_files or not fits_in_memory(self.rows):
            self._to_files()

    def _folder(self, table: str) -> Path:
        return self._scratch / table

    def groups(self, plan: Plan) -> Iterator[Group]:
        """All rows at once or, read back from the files, those of one part of the users each."""
        if not self.in_files:
            self._whole = self._whole or Group(range(PARTS), self.tables, plan)
            yield self._whole
            return
        for number in range(PARTS):
            paths = {table: self._folder(table).glob(f"{number}/*") for table in self.tables}
            tables = {table: [*map(_read_chunk, sorted(paths[table]))] for table in paths}
            if any(tables.values()):
                yield Group([number], tables, plan)

    def times(self) -> Iterator[np.ndarray]:
        """Times of all rows, a chunk at a time: int64 arrays."""
        for folder in map(self._folder, self.tables):
            for path in sorted(folder.rglob("*.parquet")):
                yield pq.read_table(path, columns=["time"])["time"].to_numpy()
        for chunk in itertools.chain.from_iterable(self.tables.values()):
            if chunk.times is not None:
                yield chunk.times

    def _to_files(self) -> None:
        self.in_files = True
        for table, chunks in self.tables.items():
            self._folder(table).mkdir(parents=True, exist_ok=True)
            while chunks:
                self._write(self._folder(table), chunks.pop(0))

    def _write(self, folder: Path, chunk: Chunk) -> None:
        users, tracks, counts, times = chunk
        time = pa.nulls(len(counts), pa.int64()) if times is None else pa.array(times)
        rows = pa.table([users, tracks, counts, time], _CHUNK.names)
        part = text_parts(users.dictionary, PARTS)[users.indices]
        for number in range(PARTS):
            mine = rows.filter(pa.array(part == number)).cast(_CHUNK)
            if mine.num_rows:
                path = folder / f"{number}/{self._files:06d}.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                pq.write_table(mine, path)
        self._files += 1


def _read_chunk(path: Path) -> Chunk:
    """Read a file of `_Chunks`."""
    ids = ["user_id", "track_id"]
    rows = pq.read_table(path, read_dictionary=ids).combine_chunks()
    users, tracks = (dictionary(rows[name].combine_chunks()) for name in ids)
    times = rows["time"].to_numpy() if not rows["time"].null_count else None
    return Chunk(users, tracks, rows["count"].to_numpy(), times)


def ingest(params: DataParams, folder: Path, judged: str = "validation") -> dict[str, Any]:
    """Read, check, merge and split the plays of `params.source`.

    Every row is judged where it is read. Rows that fit in memory are merged there, others one part
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
    reader, tables = open_source(params)
    chunks = _Chunks(list(tables), folder / "chunks")
    tally = _read(reader, list(tables), params, chunks.add)
    tally.require_good()
    windows = (
        protocol.windows_of(params, judged, chunks.times) if params.protocol == "temporal" else {}
    )
    plan = Plan(params, protocol.splits_of(params, tables, judged), windows)
    if chunks.in_files:
        require_memory(chunks.rows // PARTS, params.source)
    merged = merge(lambda: chunks.groups(plan), plan, folder)
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
    reader, tables = open_source(params)
    chunks: list[Chunk] = []
    tally = _read(reader, list(tables), params, lambda _, chunk: chunks.append(chunk))
    if tally.rows.total() == tally.seen["rows_filtered"]:
        return plays_schema(timed=params.columns.timestamp is not None).empty_table()
    tally.require_good()
    return merged_table([chunk for chunk in chunks if len(chunk.counts)], params)


def _read(
    reader: Reader, tables: list[str], params: DataParams, keep: Callable[[str, Chunk], None]
) -> Tally:
    """Read and judge all rows; `keep` gets the good ones of each table."""
    tally = Tally(tables, params)
    for table, file, judged in reader.pieces():
        tally.add(table, file, judged)
        keep(table, judged.chunk)
    warn(*tally.warnings())
    return tally


def open_source(params: DataParams) -> tuple[Reader, dict[str, list[SourceFile]]]:
    """What reads the source, and the files of its tables."""
    files, left_out = list_files(params.source, params.files)
    every = list_files(params.source)[0] if params.aliases else []
    aliases, path = read_aliases(params.aliases, every)
    tables = protocol.tables_of([file for file in files if file.path != path], params)
    relatives = [file.relative for members in tables.values() for file in members]
    mapping = mapping_of(params, relatives, aliases)
    if left_out:
        names = ", ".join(left_out)[:200]
        warn(f"{params.source}: data.files leaves out {len(left_out)} files: {names}")
    return Reader(tables, mapping), tables


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
        summary[split] |= {"from": protocol.shown(start), "until": protocol.shown(stop)}
    if plan.left_out:
        summary["left_out"] = {name: merged.numbers[name] for name in plan.left_out}
    return summary
