"""Files of a source read as Arrow, without Spark, as long as nothing about them is doubtful."""

from __future__ import annotations

import pyarrow as pa

from musicrec.columnar.memory import in_process
from musicrec.ingest.clean.chunk import Chunk, Doubt, Reading
from musicrec.ingest.clean.parquet_file import parquet_chunks
from musicrec.ingest.clean.text_file import text_chunks
from musicrec.ingest.foreign_files import refuse_foreign
from musicrec.ingest.hive_columns import hive_columns
from musicrec.ingest.json_lines import looks_json
from musicrec.ingest.local_files import OPENERS, read_head
from musicrec.ingest.source_file import SourceFile
from musicrec.ingest.unpack import packing, text_encoding
from musicrec.parallel import for_blocks
from musicrec.params.data import DataParams

HEAD = 1 << 16  # bytes looked at to tell a text file's layout
PARQUET_MAGIC = b"PAR1"


def clean_chunks(tables: dict[str, list[SourceFile]], params: DataParams) -> dict[str, list[Chunk]]:
    """Read the files of each table.

    Raises
    ------
    Doubt
        A file is neither Parquet nor plain text, or one is and another is not; a value is missing
        or is no positive whole number; the rows are more than memory holds.
    MusicRecError
        A mapped column is missing.
    """
    waiting: list[tuple[str, Reading]] = []
    rows, kinds = 0, set()
    for name, files in tables.items():
        if hive_columns([file.relative for file in files], params.columns):
            raise Doubt
        for file in files:
            kind, readings, within = _readings(file, params)
            kinds.add(kind)
            waiting += [(name, reading) for reading in readings]
            rows += within
    if len(kinds) > 1 or not in_process(rows):
        raise Doubt
    read: list[Chunk | None] = [None] * len(waiting)

    def work(start: int, stop: int) -> None:
        for place in range(start, stop):
            try:
                read[place] = waiting[place][1]()
            except MemoryError:
                raise
            except (pa.ArrowException, OSError, UnicodeError) as error:
                raise Doubt from error

    for_blocks(work, list(range(len(waiting) + 1)))
    found: dict[str, list[Chunk]] = {name: [] for name in tables}
    for (name, _), chunk in zip(waiting, read, strict=True):
        if chunk is not None and len(chunk.counts):
            found[name].append(chunk)
    return found


def _readings(file: SourceFile, params: DataParams) -> tuple[str, list[Reading], int]:
    """A file's kind, what reads each piece of it, and about how many rows it has."""
    assert file.path is not None
    raw = read_head(file.path, 16, unpack=False)
    parquet = file.relative.endswith(".parquet") or raw.startswith(PARQUET_MAGIC)
    if packing(raw) is not None or file.path.suffix in OPENERS:
        raise Doubt
    try:
        if params.format == "parquet" or (params.format == "auto" and parquet):
            return "parquet", *parquet_chunks(file, params.columns)
        head = read_head(file.path, HEAD, unpack=False)
        if text_encoding(head, params.encoding.lower()) not in ("utf-8", "utf8"):
            raise Doubt
        refuse_foreign(head, file.shown)
        if params.format == "json" or (params.format == "auto" and looks_json(head, file.relative)):
            raise Doubt
        return "text", *text_chunks(file, head, params, whole=len(head) < HEAD)
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise Doubt from error
