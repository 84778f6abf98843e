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

SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("track_id", pa.string()),
        ("count", pa.int64()),
        ("time", pa.int64()),  # microseconds since 1970; null where no time is mapped
    ]
)


class Chunks:
    """Chunks by table.

    Parameters
    ----------
    scratch : Path
        Folder that need not exist, for chunks that do not fit in memory.

    Attributes
    ----------
    tables : dict
        Table -> chunks; empty once they are in files.
    in_files : bool
        Whether they are in `scratch/<table>/*.parquet`, for Spark.
    """

    def __init__(self, names: list[str], scratch: Path) -> None:
        """Hold nothing yet."""
        self.tables: dict[str, list[Chunk]] = {name: [] for name in names}
        self._scratch, self._rows, self._files = scratch, 0, 0
        self.in_files = False
        if not fits_in_memory(0):  # a master is named
            self._to_files()

    def add(self, table: str, chunk: Chunk) -> None:
        """Keep a chunk; the first that does not fit sends all to files."""
        if not len(chunk.counts):
            return
        self._rows += len(chunk.counts)
        if self.in_files:
            self._write(table, chunk)
            return
        self.tables[table].append(chunk)
        if not fits_in_memory(self._rows):
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
            self.folder(table).mkdir(parents=True)
            while chunks:
                self._write(table, chunks.pop(0))

    def _write(self, table: str, chunk: Chunk) -> None:
        n = len(chunk.counts)
        time = pa.nulls(n, pa.int64()) if chunk.times is None else pa.array(chunk.times)
        arrays = [chunk.users.cast(pa.string()), chunk.tracks.cast(pa.string())]
        rows = pa.table([*arrays, pa.array(chunk.counts), time], SCHEMA)
        pq.write_table(rows, self.folder(table) / f"{self._files:06d}.parquet", compression="zstd")
        self._files += 1
