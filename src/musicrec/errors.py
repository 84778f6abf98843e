"""The errors a user is meant to read, and the sentences for those of the system."""

from __future__ import annotations

import errno
import re
import sys


class MusicRecError(Exception):
    """A mistake or a missing thing that a person can fix, in one sentence.

    The sentence says what is wrong, where (file, column, how many rows, the first bad
    value) and what to do. `musicrec.runtime` prints it without a stack trace.
    """


class UsageError(MusicRecError):
    """A mistake in what was typed; the process ends with 2, as on an unknown option."""


def warn(*sentences: str) -> None:
    """Print warnings on standard error."""
    for sentence in sentences:
        print(f"warning: {sentence}", file=sys.stderr)


# What `pip install musicrec` leaves out: modules by the extra of pyproject.toml that brings them.
EXTRAS = {
    "pipeline": ("dvc", "scipy"),
    "report": ("jinja2", "vl_convert"),
    "tune": ("hydra", "optuna"),
    "spark": ("py4j", "pyspark"),
    "executors": ("pandas",),
}
_NO_MEMORY = ("failed to map segment", "annot allocate memory")  # of a library's loading
_PASSWORD = re.compile(r"(\w://[^/\s:]*):[^/\s]+@")  # in a URI, where a `/` of it is %2F
# What the system says, as a sentence about {where}, or about {what} where no file is named.
_OF_SYSTEM = {
    (errno.ENOSPC, errno.EDQUOT): "cannot write {what}: {reason}; free some space",
    (errno.EFBIG,): "cannot write {what}: {reason}; raise the limit (ulimit -f)",
    (errno.EMFILE, errno.ENFILE): "{what} cannot be opened: {reason}; raise the limit (ulimit -n)",
    (errno.EAGAIN, errno.ENOMEM): "the system refuses a process, thread or memory: {reason}; see "
    "ulimit -a",
    (errno.EROFS,): "{what} cannot be written: {reason}",
    (errno.EACCES, errno.EPERM): "{what} cannot be opened: {reason}",
    (errno.EISDIR, errno.ENOTDIR): "{what}: {reason}; remove what stands in its place",
    (errno.ENOENT,): "{what}: no such file or folder",
}


def sentence_of(error: BaseException) -> str | None:
    """Say what went wrong and what to do, in one line; None where the error is a bug.

    Whatever the machine refuses is no bug: a full disk, a limit of memory, files or threads, a
    missing or unreadable file, a library that is not there. A password in a URI is left out.
    """
    sentence = _sentence(error)
    return None if sentence is None else without_passwords(sentence)


def without_passwords(text: str) -> str:
    """Hide the passwords of URIs."""
    return _PASSWORD.sub(r"\1:***@", text)


def _sentence(error: BaseException) -> str | None:
    line = (str(error).strip().splitlines() or [""])[0].rstrip(".")
    detail = f" ({line})" if line else ""
    if isinstance(error, MusicRecError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"not enough memory{detail}; free some, or take less data or a lower rank"
    if isinstance(error, OSError):
        return _of_system(error, line)
    if isinstance(error, RuntimeError) and "can't start new thread" in line:
        return (
            "the system allows no more threads; raise the limit (ulimit -u), or set "
            "MUSICREC_THREADS=1"
        )
    if isinstance(error, ImportError) and any(sign in str(error) for sign in _NO_MEMORY):
        return f"not enough memory{detail}; free some, or raise the limit (ulimit -v)"
    if isinstance(error, ImportError):
        return _of_import(error, line)
    arrow = sys.modules.get("pyarrow")  # without it nothing of it can have been raised
    if arrow is not None and isinstance(error, arrow.ArrowException):
        return f"Arrow cannot go on: {line}"
    return None


def _of_import(error: ImportError, line: str) -> str:
    """Name the extra of pyproject.toml that brings a missing package."""
    package = (error.name or "").partition(".")[0]
    for extra, packages in EXTRAS.items():
        if isinstance(error, ModuleNotFoundError) and package in packages:
            target = {"spark": "setup-spark", "executors": "setup-dev"}.get(extra, "setup")
            return (
                f"this needs the package {package}, of the extra {extra}: "
                f"pip install 'musicrec[{extra}]', or make {target} in a clone"
            )
    return f"{line}; run make setup"


def _of_system(error: OSError, line: str) -> str:
    where = error.filename if isinstance(error.filename, str) else str(error.filename or "")
    reason = error.strerror or line or type(error).__name__
    for numbers, sentence in _OF_SYSTEM.items():
        named = where or errno.ENOENT not in numbers
        if error.errno in numbers and named:
            what = where or ("output" if "write" in sentence else "a file")
            return sentence.format(what=what, reason=reason)
    return f"{where}: {reason}" if where else reason
