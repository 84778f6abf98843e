"""Parquet files: the mapped columns alone, each with the type that Spark reads it as."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musicrec.errors import MusicRecError
from musicrec.ingest.formats.header import column_position
from musicrec.ingest.source.far_files import open_path
from musicrec.ingest.source.foreign_files import refuse_foreign
from musicrec.ingest.source.listing import read_head
from musicrec.ingest.source.source_file import HEAD, PARQUET_MAGIC, SourceFile
from musicrec.params import ROLES, ColumnParams
from musicrec.spark.failures import readable_errors

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

_CODECS = {"BROTLI", "LZO"}  # of which Spark brings no reader
_NO_ROWS = "no rows"
_INDEXES = 1 << 22  # bytes that may lie between a file's rows and its footer
_PLAIN = {
    "BOOLEAN": "boolean",
    "INT32": "int",
    "INT64": "bigint",
    "INT96": "timestamp",
    "FLOAT": "float",
    "DOUBLE": "double",
    "BINARY": "binary",
}


@dataclass(frozen=True)
class ParquetColumn:
    """A mapped column: its name, the type Spark reads it as, and what it means.

    `meaning` is "" where the type says all; else `bytes` (text without the mark of text), `uuid`,
    `nanoseconds`.
    """

    role: str
    name: str
    kind: str
    meaning: str = ""


@dataclass(frozen=True)
class ParquetLayout:
    """What Parquet files must share to be read as one frame; no column where there is no row."""

    columns: tuple[ParquetColumn, ...]


def parquet_schema(spark: SparkSession, file: SourceFile) -> tuple[str, Any]:
    """Read a Parquet file's schema, as text to compare, and its footer, as Java has it.

    Of a file without rows, whose columns may be of no type, neither.

    Raises
    ------
    MusicRecError
        The file is truncated or is not Parquet.
    """
    head = read_head(spark, file, HEAD, unpack=False)
    if not head.startswith(PARQUET_MAGIC):
        refuse_foreign(head, file.shown)
        raise MusicRecError(
            f"{file.shown}: not a whole Parquet file: it does not start with Parquet's mark, as by "
            "its name or data.format it should; get the file again, or give it the name of what it "
            "is"
        )
    if file.path is not None and rows_of_sound(file.path, file.shown) == 0:
        return _NO_ROWS, None
    with readable_errors(f"{file.shown}: not a whole Parquet file"):
        path, _ = open_path(spark, file.uri)
        conf = spark.sparkContext._jsc.hadoopConfiguration()
        parquet = spark._jvm.org.apache.parquet.hadoop
        reader = parquet.ParquetFileReader.open(parquet.util.HadoopInputFile.fromPath(path, conf))
        try:
            footer = reader.getFooter()
            if footer.getBlocks().isEmpty():
                return _NO_ROWS, None
            return str(footer.getFileMetaData().getSchema().toString()), footer
        finally:
            reader.close()


def rows_of_sound(path: Path, name: str) -> int | None:
    """Number of rows, where a file is not several Parquet files one behind the other.

    None where the file is damaged, which is said where it is read.

    The last one's footer would find its rows in the first. They are told by two marks side by side,
    as far from the start as the rows of the last one end before its footer.

    Raises
    ------
    MusicRecError
        They were.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        metadata = parquet.read_metadata(path)
    except (pa.ArrowException, OSError):
        return None
    end = 4
    if metadata.num_row_groups:
        group = metadata.row_group(metadata.num_row_groups - 1)
        chunks = [group.column(i) for i in range(group.num_columns)]
        end = max((_start(chunk) + chunk.total_compressed_size for chunk in chunks), default=4)
    with path.open("rb") as stream:
        size = stream.seek(-8, 2)
        gap = size - int.from_bytes(stream.read(4), "little") - end
        stream.seek(max(0, gap - _INDEXES))
        joined = gap > 0 and PARQUET_MAGIC * 2 in stream.read(min(gap, _INDEXES) + 4)
    if joined:
        raise MusicRecError(
            f"{name}: Parquet files joined end to end, of which only one would be read; put the "
            "files into a folder instead"
        )
    return int(metadata.num_rows)


def _start(chunk: Any) -> int:
    return chunk.dictionary_page_offset or chunk.data_page_offset


def parquet_layout(footer: Any, columns: ColumnParams, name: str) -> ParquetLayout:
    """Find the mapped columns in a file's footer; the others may be of any type.

    Raises
    ------
    MusicRecError
        A column is missing, of a type without a clear meaning, or packed so that Spark cannot read
        it; two roles have one column.
    """
    if footer is None:
        return ParquetLayout(())
    fields = list(footer.getFileMetaData().getSchema().getFields())
    names = tuple(field.getName() for field in fields)
    found: dict[int, ParquetColumn] = {}
    for role in ROLES:
        column = getattr(columns, role)
        if column is None:
            continue
        place = column_position(column, role, names, named=True, file=name)
        if place in found:
            raise MusicRecError(
                f"{name}: data.columns.{found[place].role} and data.columns.{role} are the same "
                f"column, {column!r}"
            )
        kind, meaning = _kind(fields[place], role, name)
        found[place] = ParquetColumn(role, names[place], kind, meaning)
    _require_codecs(footer, {column.name for column in found.values()}, name)
    return ParquetLayout(tuple(found.values()))


def _kind(field: Any, role: str, name: str) -> tuple[str, str]:
    """Spark's type for a column of the file, and its meaning where the type does not say it."""
    title = f"{name}: column {field.getName()!r} (data.columns.{role})"
    if not field.isPrimitive() or str(field.getRepetition().toString()) == "REPEATED":
        raise MusicRecError(f"{title} holds lists or structs; it must hold single values")
    primitive = field.asPrimitiveType()
    physical = str(primitive.getPrimitiveTypeName().toString())
    note = field.getLogicalTypeAnnotation()
    logical = "" if note is None else str(note.toString())
    base, _, rest = logical.partition("(")
    arguments = rest.rstrip(")").split(",")
    if base in ("STRING", "ENUM", "JSON"):
        return "string", ""
    if base == "DECIMAL" and int(arguments[0]) <= 38:
        return f"decimal({arguments[0]},{arguments[1]})", ""
    if base == "INTEGER":
        bits, signed = int(arguments[0]), arguments[1] == "true"
        kinds = {8: "tinyint", 16: "smallint", 32: "int", 64: "bigint"}
        wider = {8: "smallint", 16: "int", 32: "bigint", 64: "decimal(20,0)"}
        return (kinds if signed else wider)[bits], ""
    if base == "DATE":
        return "date", ""
    if base == "TIMESTAMP":
        if arguments[0] == "NANOS":
            return "bigint", "nanoseconds"
        return ("timestamp" if arguments[1] == "true" else "timestamp_ntz"), ""
    if base == "UUID":
        return "binary", "uuid"
    if not base and physical in _PLAIN:
        return _PLAIN[physical], "bytes" if physical == "BINARY" else ""
    shown = logical or f"{physical.lower()}({primitive.getTypeLength()})"
    raise MusicRecError(
        f"{title} is of Parquet type {shown}; it must hold "
        + {"count": "numbers", "timestamp": "numbers, dates or times"}.get(role, "text or numbers")
    )


def _require_codecs(footer: Any, names: set[str], name: str) -> None:
    blocks = footer.getBlocks()
    for chunk in blocks.get(0).getColumns() if blocks.size() else ():
        codec = str(chunk.getCodec().toString())
        if codec in _CODECS and str(chunk.getPath().toDotString()) in names:
            raise MusicRecError(
                f"{name}: its columns are packed by {codec.lower()}, which Spark cannot unpack; "
                "write it with snappy or zstd"
            )


def read_parquet(spark: SparkSession, layout: ParquetLayout, uris: list[str]) -> DataFrame:
    """Read the mapped columns, under the names of their roles."""
    from pyspark.sql import functions as F

    schema = ", ".join(f"{_quoted(column.name)} {column.kind}" for column in layout.columns)
    frame = spark.read.schema(schema).parquet(*uris)
    picked = [
        _meant(F.col(_quoted(column.name)), column.meaning).alias(column.role)
        for column in layout.columns
    ]
    return frame.select(*picked, F.lit(None).cast("string").alias("broken"), "_metadata")


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _meant(value: Column, meaning: str) -> Column:
    from pyspark.sql import functions as F

    if meaning == "nanoseconds":
        return value.cast("decimal(38,9)") / F.lit(10**9)
    if meaning == "bytes":
        return F.make_valid_utf8(value.cast("string"))
    if meaning == "uuid":
        groups = r"^(.{8})(.{4})(.{4})(.{4})(.{12})$"
        return F.regexp_replace(F.lower(F.hex(value)), groups, "$1-$2-$3-$4-$5")
    return value
