"""Files that only Hadoop can reach: listed and looked into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from musicrec.errors import MusicRecError
from musicrec.ingest.source.source_file import SourceFile, is_hidden
from musicrec.spark.failures import display_path, readable_errors, root_cause

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def list_paths(spark: SparkSession, root: str) -> list[SourceFile] | None:
    """List a file, or all files below a folder, hidden ones too; None if there is no such place."""
    with readable_errors(display_path(root)):
        path, system = open_path(spark, root)
        if not system.exists(path):
            return None
        return _walk(system.listFiles(path, True), system.getFileStatus(path))


def _walk(iterator: Any, root: Any) -> list[SourceFile]:
    prefix = root.getPath().toUri().getPath().rstrip("/") + "/"
    files = []
    while iterator.hasNext():
        status = iterator.next()
        path = status.getPath().toUri().getPath()
        relative = path.removeprefix(prefix) if root.isDirectory() else status.getPath().getName()
        hidden = root.isDirectory() and is_hidden(relative)
        uri = status.getPath().toString()
        files.append(SourceFile(uri, relative, status.getLen(), hidden=hidden))
    return files


def read_head(spark: SparkSession, file: SourceFile, size: int, *, unpack: bool) -> bytes:
    """Read a file's first bytes, unpacked by the codec its name stands for or as they lie."""
    with readable_errors(file.shown):
        path, system = open_path(spark, file.uri)
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


def open_path(spark: SparkSession, uri: str) -> tuple[Any, Any]:
    """Return Hadoop's path of a URI and the file system it lies on.

    Raises
    ------
    MusicRecError
        Spark has no client for such places.
    """
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
