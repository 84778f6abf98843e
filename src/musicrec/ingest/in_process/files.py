"""Files of a source read as Arrow, without Spark, as long as nothing about them is doubtful."""

from __future__ import annotations

from pathlib import Path

from musicrec.ingest.formats.json_lines import looks_json
from musicrec.ingest.in_process.chunk import Chunk, Doubt, Reading, doubting
from musicrec.ingest.in_process.parquet_file import parquet_chunks
from musicrec.ingest.in_process.text_file import text_chunks
from musicrec.ingest.source.foreign_files import refuse_foreign
from musicrec.ingest.source.hive_columns import hive_columns
from musicrec.ingest.source.local_files import OPENERS, read_head
from musicrec.ingest.source.source_file import HEAD, SourceFile, is_parquet
from musicrec.ingest.source.unpack import known_encoding, packing, recoded, text_encoding, unpacked
from musicrec.interactions.memory import in_process
from musicrec.jit.parallel import for_blocks
from musicrec.params import DataParams


def plain_chunks(
    tables: dict[str, list[SourceFile]], params: DataParams, scratch: Path
) -> dict[str, list[Chunk]]:
    """Read the files of each table.

    Parameters
    ----------
    scratch : Path
        Folder that need not exist, for files unpacked and text in another encoding.

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
            kind, readings, within = _readings(file, params, scratch)
            kinds.add(kind)
            waiting += [(name, reading) for reading in readings]
            rows += within
    if len(kinds) > 1 or not in_process(rows):
        raise Doubt
    read: list[Chunk | None] = [None] * len(waiting)

    def work(start: int, stop: int) -> None:
        for place in range(start, stop):
            with doubting():
                read[place] = waiting[place][1]()

    for_blocks(work, list(range(len(waiting) + 1)))
    found: dict[str, list[Chunk]] = {name: [] for name in tables}
    for (name, _), chunk in zip(waiting, read, strict=True):
        if chunk is not None and len(chunk.counts):
            found[name].append(chunk)
    return found


def _readings(
    file: SourceFile, params: DataParams, scratch: Path
) -> tuple[str, list[Reading], int]:
    """What a file must share with the others, what reads each piece of it, about how many rows."""
    with doubting():
        file, raw = _unpacked(file, scratch)
        if is_parquet(file, raw, params.format):
            return "parquet", *parquet_chunks(file, params.columns)
        head = _head(file, HEAD)
        encoding = text_encoding(head, known_encoding(params.encoding))
        if encoding != "utf-8":
            file = recoded(file, encoding, scratch, _doubt)
            head = _head(file, HEAD)
        refuse_foreign(head, file.shown)
        if params.format == "json" or (params.format == "auto" and looks_json(head, file.relative)):
            raise Doubt
        return text_chunks(file, head, params, whole=len(head) < HEAD)


def _unpacked(file: SourceFile, scratch: Path) -> tuple[SourceFile, bytes]:
    """Unpack a file into `scratch`, if it is packed; returns it with its first bytes."""
    for _ in range(3):  # a .zip of a .gz
        raw = _head(file, 16)
        packed = packing(raw)
        if packed is None:
            break
        file = unpacked(file, packed, scratch)
    if file.path is None or packing(raw) or file.path.suffix in OPENERS:
        raise Doubt  # a name that promises what the content does not keep
    return file, raw


def _doubt(_: str) -> None:
    raise Doubt  # Spark's road warns


def _head(file: SourceFile, size: int) -> bytes:
    assert file.path is not None
    return read_head(file.path, size, unpack=False)
