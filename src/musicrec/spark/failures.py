"""Failures of Spark and of the Java below it, as sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from musicrec.errors import MusicRecError

_CLASS = re.compile(r"^((\w+\.)+\w+(Exception|Error): )+|^\[[A-Z0-9_.]+\] ")
_STATE = re.compile(r"\s*SQLSTATE: \w+")
_FAILED_FILE = re.compile(r"reading file (\S+?)\.?\s")

_TELLING = re.compile(r"Exception|Error|Invalid|[Uu]nable|[Cc]annot|[Cc]ould not|[Ff]ailed|refused")
_LIMIT = re.compile(r"Too many open files|insufficient memory|native thread|unresponsive")
_HEADING = re.compile(r"^(Error: )?(Error occurred during init|A JNI error has occ|A fatal err)")
_PREFIX = re.compile(
    r'^(# |Caused by: |Exception in thread "[^"]*" |Error: |[\d/:. -]+ [A-Z]+ \w+: )+'
)

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


def root_cause(error: Any) -> str:
    """First line of the innermost Java exception's message (its class, where it has none)."""
    java = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    if java is None:
        return _first_line(str(error))
    while java.getCause() is not None:
        java = java.getCause()
    return _first_line(java.getMessage() or "") or java.getClass().getSimpleName()


def reason_in(log: Path) -> str:
    """The line of Java's output that says most about why it ended; blank where none does."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    lines = [line for line in lines if not _HEADING.match(line) and not line.startswith("\tat ")]
    causes = [line for line in lines if line.startswith("Caused by: ")]
    telling = [line for line in lines if _TELLING.search(line)]
    limits = [line for line in lines if _LIMIT.search(line)]
    found = (limits[:1] or causes[-1:] or telling[:1] or [""])[0]
    return _first_line(_PREFIX.sub("", found.strip()))


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
