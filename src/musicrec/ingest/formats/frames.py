"""A source's files as frames of the mapped columns, whatever their format."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from musicrec.errors import MusicRecError
from musicrec.ingest.formats.delimited import read_text
from musicrec.ingest.formats.json_lines import (
    JsonLayout,
    as_lines,
    json_layout,
    looks_json,
)
from musicrec.ingest.formats.json_rows import read_json
from musicrec.ingest.formats.parquet_columns import (
    ParquetLayout,
    parquet_layout,
    parquet_schema,
    read_parquet,
)
from musicrec.ingest.formats.shared_layout import warn_of_layouts, with_shared_dialects
from musicrec.ingest.formats.text_layout import TextLayout, text_layout
from musicrec.ingest.source.foreign_files import refuse_foreign
from musicrec.ingest.source.hive_columns import hive_columns, hive_value
from musicrec.ingest.source.listing import read_head
from musicrec.ingest.source.source_file import HEAD, PARQUET_MAGIC, SourceFile, is_parquet
from musicrec.ingest.source.unpack import (
    known_encoding,
    linked,
    packing,
    recoded,
    spark_unpacks,
    text_encoding,
    unpacked,
)
from musicrec.params import ROLES, DataParams
from musicrec.spark.failures import display_path
from musicrec.spark.parts import literal

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

Layout = TextLayout | ParquetLayout | JsonLayout


@dataclass(frozen=True)
class Table:
    """Files that share a layout, read as one frame.

    Attributes
    ----------
    first : str
        The first file, for messages.
    frame : DataFrame
        `user`, `track`, and `count` and `timestamp` where they are mapped, each with the type the
        file gives it (text and JSON: string); `broken`, a line of another number of fields or that
        is no JSON, else null; `file` and `block`, where the row lies.
    reason : str
        What a broken line is: one of `row_checks.REASONS`.
    """

    first: str
    frame: DataFrame
    reason: str


def read_tables(
    spark: SparkSession, files: list[SourceFile], params: DataParams, scratch: Path
) -> list[Table]:
    """Read files, one frame for all that share a layout.

    Parameters
    ----------
    scratch : Path
        Folder for what must be unpacked or rewritten before Spark can read it.

    Raises
    ------
    MusicRecError
        A file is of no format that is read, or lacks a mapped column; the formats are mixed.
    """
    layouts: dict[Layout, list[SourceFile]] = {}
    preambles: dict[Layout, frozenset[str]] = {}
    footers: dict[str, Layout] = {}
    hive = hive_columns([file.relative for file in files], params.columns)
    without = params.columns.model_copy(update=dict.fromkeys(hive))
    inside = params.model_copy(update={"columns": without})
    found = [_layout(spark, file, inside, scratch, footers) for file in files]
    texts = [(layout, file) for layout, file in found if isinstance(layout, TextLayout)]
    if len(texts) == len(found):

        def head(file: SourceFile) -> bytes:
            return read_head(spark, file, HEAD, unpack=True)

        found = list(with_shared_dialects(texts, inside, head))
    for layout, ready in found:
        layouts.setdefault(layout, []).append(ready)
        if isinstance(layout, TextLayout):
            preambles[layout] = preambles.get(layout, frozenset()) | layout.preamble
    warn_of_layouts([layout for layout, _ in found if isinstance(layout, TextLayout)])
    layouts = _with_rows(layouts, files[0])
    kinds = {type(layout): members[0] for layout, members in layouts.items()}
    if len(kinds) > 1:
        names = {ParquetLayout: "Parquet", TextLayout: "text", JsonLayout: "JSON"}
        raise MusicRecError(
            f"{files[0].shown} and other files of the source: "
            f"{' and '.join(sorted(names[kind] for kind in kinds))} are mixed; keep one format"
        )
    return [
        _table(spark, _with_preamble(layout, preambles), members, inside, hive)
        for layout, members in layouts.items()
    ]


def _with_rows(
    layouts: dict[Layout, list[SourceFile]], first: SourceFile
) -> dict[Layout, list[SourceFile]]:
    """Leave out files without rows that need not have the columns: `[]` among shards of JSON."""
    filled = {
        layout: members
        for layout, members in layouts.items()
        if layout not in (JsonLayout(()), ParquetLayout(()))
    }
    if not filled:
        raise MusicRecError(f"{first.shown}: has no rows")
    return filled


def _with_preamble(layout: Layout, preambles: dict[Layout, frozenset[str]]) -> Layout:
    if isinstance(layout, TextLayout):
        return replace(layout, preamble=preambles[layout])
    return layout


def _layout(
    spark: SparkSession,
    file: SourceFile,
    params: DataParams,
    scratch: Path,
    footers: dict[str, Layout],
) -> tuple[Layout, SourceFile]:
    """Tell a file's layout, and name the file that Spark reads: itself, or one in `scratch`."""
    file, raw = _unpacked(spark, linked(file, scratch), scratch)
    if is_parquet(file, raw, params.format):
        text, footer = parquet_schema(spark, file)
        if text not in footers:
            footers[text] = parquet_layout(footer, params.columns, file.shown)
        return footers[text], file
    head = read_head(spark, file, HEAD, unpack=True)
    encoding = text_encoding(head, known_encoding(params.encoding))
    if encoding != "utf-8":
        file = recoded(file, encoding, scratch)
        head = read_head(spark, file, HEAD, unpack=True)
    refuse_foreign(head, file.shown)
    if params.format == "json" or (params.format == "auto" and looks_json(head, file.relative)):
        file, head = as_lines(spark, file, head, scratch)
        return json_layout(head, params.columns, file.shown), file
    return text_layout(head, params, file.shown, whole=len(head) < HEAD), file


def _unpacked(spark: SparkSession, file: SourceFile, scratch: Path) -> tuple[SourceFile, bytes]:
    """Unpack what Spark does not; returns the file and its first bytes as they lie."""
    for _ in range(3):  # a .zip of a .gz
        raw = read_head(spark, file, 16, unpack=False)
        packed = packing(raw)
        if packed is None or (
            spark_unpacks(file, packed) and read_head(spark, file, 4, unpack=True) != PARQUET_MAGIC
        ):
            break
        file = unpacked(file, packed, scratch)
    return file, raw


def _table(
    spark: SparkSession,
    layout: Layout,
    files: list[SourceFile],
    params: DataParams,
    hive: dict[str, str],
) -> Table:
    from pyspark.sql import functions as F

    uris = [literal(file.uri) for file in files]
    if isinstance(layout, ParquetLayout):
        frame = read_parquet(spark, layout, uris)
    elif isinstance(layout, JsonLayout):
        frame = read_json(spark, layout, uris)
    else:
        frame = read_text(spark, layout, uris, params.columns, files[0].shown)
    for role, name in hive.items():
        frame = frame.withColumn(role, hive_value(_shown_file(files), name))
    frame = frame.select(
        *[role for role in ROLES if role in frame.columns],
        "broken",
        _shown_file(files).alias("file"),
        F.col("_metadata.file_block_start").alias("block"),
    )
    reason = "broken_json" if isinstance(layout, JsonLayout) else "ragged_line"
    return Table(files[0].shown, frame, reason)


def _shown_file(files: list[SourceFile]) -> Column:
    """The URI of a row's file; of its original, where Spark reads a copy."""
    from pyspark.sql import functions as F

    path = F.col("_metadata.file_path")
    copies = [file for file in files if file.shown != display_path(file.uri)]
    if not copies:
        return path
    shown = [
        F.lit(text) for file in copies for text in (_tail(file.uri), quote(file.shown, safe="/="))
    ]
    return F.coalesce(F.create_map(*shown)[F.substring_index(path, "/", -3)], path)


def _tail(uri: str) -> str:
    """The last three names of a path: enough to tell a copy from any other file."""
    return "/".join(uri.split("/")[-3:])
