"""Good rows of all files: kept in memory while they fit, else written as canonical Parquet."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.ingest.read.judge import Chunk
from musicrec.interactions.memory import fits_in_memory
from musicrec.storage.parquet import PLAYS

SCHEMA = PLAYS.append(pa.field("time", pa.int64()))  # microseconds since 1970; null without times


class Chunks:
    """Chunks by table: in `tables`, or, once `in_files`, in Parquet files of `folder`."""

    def __init__(self, names: list[str], scratch: Path) -> None:
        """Hold nothing yet; `scratch` need not exist."""
        self.tables: dict[str, list[Chunk]] = {name: [] for name in names}
        self.in_files = False
        self._scratch, self._rows, self._files = scratch, 0, 0
        if not fits_in_memory(0):  # a master is named
            self._to_files()

    def add(self, table: str, chunk: Chunk) -> None:
        """Keep a chunk; the first that does not fit sends all to files."""
        if not len(chunk.counts):
            return
        self._rows += len(chunk.counts)
        self.tables[table].append(chunk)
        if self.in_files or not fits_in_memory(self._rows):
            self._to_files()

    def folder(self, table: str) -> Path:
        """Where a table's chunks are."""
        return self._scratch / table

    def times(self) -> Iterator[np.ndarray]:
        """Times of all rows, a chunk at a time: int64 arrays."""
        for folder in map(self.folder, self.tables):
            for path in sorted(folder.glob("*.parquet")):
                with pq.ParquetFile(path) as file:
                    yield file.read(["time"]).column("time").to_numpy()
        for chunk in itertools.chain.from_iterable(self.tables.values()):
            if chunk.times is not None:
                yield chunk.times

    def _to_files(self) -> None:
        self.in_files = True
        for table, chunks in self.tables.items():
            self.folder(table).mkdir(parents=True, exist_ok=True)
            while chunks:
                users, tracks, counts, times = chunks.pop(0)
                time = pa.nulls(len(counts), pa.int64()) if times is None else pa.array(times)
                columns = [users.cast(pa.string()), tracks.cast(pa.string()), counts, time]
                path = self.folder(table) / f"{self._files:06d}.parquet"
                pq.write_table(pa.table(columns, SCHEMA), path, compression="zstd")
                self._files += 1
