"""Files of a source, wherever Spark can read them: listed and opened through Hadoop."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musicrec.errors import MusicRecError
from musicrec.spark.failures import display_path, readable_errors, root_cause

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]+)://")


@dataclass(frozen=True, order=True)
class SourceFile:
    """One file of a source.

    Attributes
    ----------
    uri : str
        As Hadoop names it, with scheme, not percent-encoded.
    relative : str
        Path below the source, with `/`; the file's own name where the source is a file.
    size : int
        Bytes.
    """

    uri: str
    relative: str
    size: int

    @property
    def display(self) -> str:
        """Path for messages."""
        return display_path(self.uri)


def source_uri(source: str) -> str:
    """Turn `data.source` into the URI that Hadoop opens.

    A plain path is local, even where the cluster's default file system is not. `s3://`, DVC's
    name, is Hadoop's `s3a://`. A local file whose name ends in `.uri` is a pointer: it holds the
    URI, so that DVC can follow (a version of) a place it cannot reach itself.

    Raises
    ------
    MusicRecError
        The source is blank, or a pointer does not hold exactly one URI.
    """
    if not source.strip():
        raise MusicRecError("data.source is blank; name a file, a folder or a URI")
    match = _SCHEME.match(source)
    if match:
        if match[1].lower() == "file":
            return "file://" + _local_part(source)
        return re.sub("^s3://", "s3a://", source)
    path = Path(source)
    if path.suffix == ".uri" and path.is_file():
        words = path.read_text(encoding="utf-8").split()
        if len(words) != 1 or not _SCHEME.match(words[0]):
            raise MusicRecError(f"{source}: a pointer file holds one URI and nothing else")
        return source_uri(words[0])
    return f"file://{path.absolute()}"


def local_inputs(source: str) -> list[str] | None:
    """Name what `spark_session` may measure: the source if it is local, None if it is far away."""
    uri = source_uri(source)
    return [uri.removeprefix("file://")] if uri.startswith("file://") else None


def _local_part(uri: str) -> str:
    path = display_path(uri)
    return path if Path(path).exists() else uri.removeprefix("file://")


def list_files(spark: SparkSession, source: str) -> list[SourceFile]:
    """List a source's files in name order: itself, or all files below a folder.

    Names that start with `_` or `.` are left out with all below them, as Spark does (`_SUCCESS`,
    `.part.crc`), and so are files without a byte beside files that have some.

    Raises
    ------
    MusicRecError
        There is no such source, no file in it, or only empty ones.
    """
    root = source_uri(source)
    shown = display_path(root)
    with readable_errors(shown):
        path, system = _open(spark, root)
        if not system.exists(path):
            raise MusicRecError(f"{shown}: no such file or folder; set data.source")
        files = sorted(_walk(system.listFiles(path, True), system.getFileStatus(path)))
    if not files:
        raise MusicRecError(f"{shown}: the folder holds no file; set data.source")
    filled = [file for file in files if file.size > 0]
    if not filled:
        raise MusicRecError(f"{files[0].display}: the file is empty")
    return filled


def _walk(iterator: Any, root: Any) -> list[SourceFile]:
    prefix = root.getPath().toUri().getPath().rstrip("/") + "/"
    files = []
    while iterator.hasNext():
        status = iterator.next()
        path = status.getPath().toUri().getPath()
        relative = path.removeprefix(prefix) if root.isDirectory() else status.getPath().getName()
        hidden = any(part.startswith(("_", ".")) for part in relative.split("/"))
        if not hidden or not root.isDirectory():
            uri = status.getPath().toString()
            files.append(SourceFile(re.sub("^file:/+", "file:///", uri), relative, status.getLen()))
    return files


def read_head(spark: SparkSession, file: SourceFile, size: int, *, unpack: bool) -> bytes:
    """Read a file's first bytes, unpacked by the codec its name stands for or as they lie."""
    with readable_errors(file.display):
        path, system = _open(spark, file.uri)
        stream = system.open(path)
        try:
            if unpack:
                conf = spark.sparkContext._jsc.hadoopConfiguration()
                factory = spark._jvm.org.apache.hadoop.io.compress.CompressionCodecFactory(conf)
                codec = factory.getCodec(path)
                stream = stream if codec is None else codec.createInputStream(stream)
            return bytes(stream.readNBytes(size))
        finally:
            stream.close()


def parquet_schema(spark: SparkSession, file: SourceFile) -> str:
    """Read the schema in a Parquet file's footer, as text.

    Raises
    ------
    MusicRecError
        The file is truncated or is not Parquet.
    """
    with readable_errors(f"{file.display}: not a whole Parquet file"):
        path, _ = _open(spark, file.uri)
        conf = spark.sparkContext._jsc.hadoopConfiguration()
        parquet = spark._jvm.org.apache.parquet.hadoop
        reader = parquet.ParquetFileReader.open(parquet.util.HadoopInputFile.fromPath(path, conf))
        try:
            return str(reader.getFooter().getFileMetaData().getSchema().toString())
        finally:
            reader.close()


def _open(spark: SparkSession, uri: str) -> tuple[Any, Any]:
    path = spark._jvm.org.apache.hadoop.fs.Path(uri)
    try:
        return path, path.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration())
    except Exception as error:
        cause = root_cause(error)
        if "not found" not in cause:
            raise
        raise MusicRecError(
            f"{uri}: Spark has no client for {uri.partition(':')[0]}:// ({cause}); add its package "
            "to spark.jars.packages in spark-defaults.conf (for s3a: "
            "org.apache.hadoop:hadoop-aws)"
        ) from None
