"""A source's files as frames of the mapped columns, whatever their format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from musicrec.errors import MusicRecError
from musicrec.ingest.source import SourceFile, parquet_schema, read_head
from musicrec.ingest.text_layout import column_position, first_fields
from musicrec.params.data import ColumnParams, DataParams

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROLES = ("user", "track", "count", "timestamp")
_HEAD = 1 << 16  # bytes looked at to tell a text file's layout
_PARQUET_MAGIC = b"PAR1"


@dataclass(frozen=True)
class TextLayout:
    """What text files must share to be read as one frame."""

    separator: str
    header: bool
    fields: tuple[str, ...]


def read_frames(
    spark: SparkSession, files: list[SourceFile], params: DataParams
) -> list[tuple[str, DataFrame]]:
    """Read files, one frame for all that share a layout.

    Returns
    -------
    list of (str, DataFrame)
        The first file's path, for messages, and the rows: `user`, `track`, and `count` and
        `timestamp` where they are mapped, each with the type the file gives it (text files:
        string); `ragged`, a text file's line where it has another number of fields than the first
        one, else null; `file` and `block`, where the row lies.

    Raises
    ------
    MusicRecError
        A file is no Parquet or text, or lacks a mapped column; the formats are mixed.
    """
    layouts: dict[str | TextLayout, list[SourceFile]] = {}
    for file in files:
        layouts.setdefault(_layout(spark, file, params), []).append(file)
    if len({type(layout) for layout in layouts}) > 1:
        raise MusicRecError(
            f"{files[0].display} and other files of the source: Parquet and text are mixed; "
            "keep one format"
        )
    frames = []
    for layout, members in layouts.items():
        if isinstance(layout, TextLayout):
            frame = _read_text(spark, layout, members, params.columns)
        else:
            frame = _read_parquet(spark, members, params.columns)
        frames.append((members[0].display, frame))
    return frames


def _layout(spark: SparkSession, file: SourceFile, params: DataParams) -> str | TextLayout:
    raw = read_head(spark, file, 4, unpack=False)
    looks_parquet = file.relative.endswith(".parquet") or raw == _PARQUET_MAGIC
    if params.format == "parquet" or (params.format == "auto" and looks_parquet):
        return parquet_schema(spark, file)
    head = read_head(spark, file, _HEAD, unpack=True)
    separator, header, fields = first_fields(head, params, file.display)
    return TextLayout(separator, header, fields if header else ("",) * len(fields))


def _read_text(
    spark: SparkSession, layout: TextLayout, files: list[SourceFile], columns: ColumnParams
) -> DataFrame:
    width = len(layout.fields)
    schema = ", ".join([f"f{i} string" for i in range(width)] + ["ragged string"])
    frame = (
        spark.read.schema(schema)
        .option("sep", layout.separator)
        .option("header", layout.header)
        .option("escape", '"')  # a quote within quotes is doubled, as spreadsheets write it
        .option("ignoreLeadingWhiteSpace", True)
        .option("ignoreTrailingWhiteSpace", True)
        .option("columnNameOfCorruptRecord", "ragged")
        .option("columnPruning", False)  # with pruning, Spark does not see ragged lines
        .option("__globPaths__", "false")  # a `[` in a file name is a `[`
        .csv([file.uri for file in files])
    )
    return _mapped(frame, layout.fields, columns, "ragged", files[0], named=layout.header)


def _read_parquet(spark: SparkSession, files: list[SourceFile], columns: ColumnParams) -> DataFrame:
    frame = spark.read.option("__globPaths__", "false").parquet(*[file.uri for file in files])
    names = tuple(frame.columns)
    return _mapped(frame, names, columns, None, files[0], named=True)


def _mapped(
    frame: DataFrame,
    names: tuple[str, ...],
    columns: ColumnParams,
    ragged: str | None,
    file: SourceFile,
    *,
    named: bool,
) -> DataFrame:
    from pyspark.sql import functions as F

    chosen: dict[int, str] = {}
    picked = []
    for role in ROLES:
        column = getattr(columns, role)
        if column is None:
            continue
        place = column_position(column, role, names, named=named, file=file.display)
        if place in chosen:
            raise MusicRecError(
                f"{file.display}: data.columns.{chosen[place]} and data.columns.{role} are the "
                f"same column, {column!r}"
            )
        chosen[place] = role
        quoted = frame.columns[place].replace("`", "``")
        picked.append(F.col(f"`{quoted}`").alias(role))
    line = F.lit(None).cast("string") if ragged is None else F.col(ragged)
    return frame.select(
        *picked,
        line.alias("ragged"),
        F.col("_metadata.file_path").alias("file"),
        F.col("_metadata.file_block_start").alias("block"),
    )
