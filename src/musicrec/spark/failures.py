"""Failures of Spark and of the Java below it, as sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from musicrec.errors import MusicRecError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_CLASS = re.compile(r"^((\w+\.)+\w+(Exception|Error): )+|^\[[A-Z0-9_.]+\] ")
_STATE = re.compile(r"\s*SQLSTATE: \w+")
_FAILED_FILE = re.compile(r"reading file (\S+?)\.?\s")

# No fault of what was read: what Java says, and what to do.
_OF_THE_MACHINE = {
    "No space left on device": "free some where the output and Spark's temporary files are",
    "Disk quota exceeded": "free some where the output and Spark's temporary files are",
    "Read-only file system": "Spark's temporary files (SPARK_LOCAL_DIRS, TMPDIR) need another",
    "Too many open files": "raise the limit (ulimit -n)",
    "unable to create native thread": "raise the limit of threads (ulimit -u)",
    "Java heap space": "give Spark more memory with MUSICREC_SPARK_MEMORY, such as 8g",
    "GC overhead limit exceeded": "give Spark more memory with MUSICREC_SPARK_MEMORY, such as 8g",
}


@contextmanager
def readable_errors(what: str) -> Iterator[None]:
    """Turn a failure of Spark or Java inside the block into one sentence.

    Parameters
    ----------
    what : str
        What failed, when Spark does not name the file it was reading.

    Raises
    ------
    MusicRecError
        `<file or what>: <message of the innermost cause>`.
    """
    from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
    from pyspark.errors import PySparkException

    try:
        yield
    except (Py4JJavaError, PySparkException) as error:
        raise MusicRecError(_sentence(error, what)) from None


def _sentence(error: Exception, what: str) -> str:
    cause = root_cause(error)
    for sign, advice in _OF_THE_MACHINE.items():
        if sign in cause:
            return f"{cause}; {advice}"
    return f"{_failed_file(error) or what}: {cause}"


@contextmanager
def quiet(spark: SparkSession) -> Iterator[None]:
    """Silence Spark's log, which prints the stack trace of every failed task ahead of a sentence.

    Not set back when the block is interrupted: no call may reach Java then.
    """
    spark.sparkContext.setLogLevel("OFF")
    try:
        yield
    except MusicRecError:
        spark.sparkContext.setLogLevel("ERROR")
        raise
    spark.sparkContext.setLogLevel("ERROR")


def root_cause(error: Any) -> str:
    """First line of the innermost Java exception's message (its class, where it has none)."""
    java = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    if java is None:
        return _first_line(str(error))
    while java.getCause() is not None:
        java = java.getCause()
    return _first_line(java.getMessage() or "") or java.getClass().getSimpleName()


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    first = _CLASS.sub("", lines[0]) if lines else ""
    return _STATE.sub("", first).strip().rstrip(".")


def _failed_file(error: Exception) -> str | None:
    match = _FAILED_FILE.search(str(error))
    return display_path(match[1]) if match else None


def display_path(uri: str) -> str:
    """Write a file's URI the way a person would: a plain path for local files."""
    return re.sub(r"^file:/+", "/", unquote(uri))
