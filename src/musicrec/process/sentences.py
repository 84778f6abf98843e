"""The one place where an error that is no bug becomes a sentence."""

from __future__ import annotations

import errno
import re
import sys
from pathlib import Path

from musicrec.errors import MusicRecError

# What `pip install musicrec` leaves out: modules by the extra of pyproject.toml that brings them.
EXTRAS = {
    "pipeline": ("dvc", "dvc_data", "matplotlib", "pygit2", "scipy", "scmrepo"),
    "report": ("altair", "jinja2", "vl_convert"),
    "tune": ("hydra", "optuna"),
    "spark": ("py4j", "pyspark"),
    "executors": ("pandas",),
}
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_MEMORY = ("failed to map segment", "annot allocate memory")  # of a library's loading
_FEW = (errno.EMFILE, errno.ENFILE)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_PASSWORD = re.compile(r"(\w://[^/\s:]*):[^/\s]+@")  # in a URI, where a `/` of it is %2F
_NOT_PLAIN = (errno.EISDIR, errno.ENOTDIR)


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
    if isinstance(error, MusicRecError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"not enough memory{_detail(error)}; free some, or take less data or a lower rank"
    if isinstance(error, OSError):
        return _of_system(error)
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return (
            "the system allows no more threads; raise the limit (ulimit -u), or set "
            "MUSICREC_THREADS=1"
        )
    if isinstance(error, ImportError) and any(sign in str(error) for sign in _NO_MEMORY):
        return f"not enough memory{_detail(error)}; free some, or raise the limit (ulimit -v)"
    if isinstance(error, ImportError):
        return _of_import(error)
    if _of_arrow(error):
        return f"Arrow cannot go on: {_first_line(error)}"
    return None


def _of_import(error: ImportError) -> str:
    """Name the extra of pyproject.toml that brings a missing package."""
    package = (error.name or "").partition(".")[0]
    for extra, packages in EXTRAS.items():
        if isinstance(error, ModuleNotFoundError) and package in packages:
            target = "setup-spark" if extra == "spark" else "setup"
            return (
                f"this needs the package {package}, of the extra {extra}: "
                f"pip install 'musicrec[{extra}]', or make {target} in a clone"
            )
    return f"{_first_line(error)}; run make setup"


def _of_system(error: OSError) -> str:
    where = _shown(error.filename)
    reason = error.strerror or _first_line(error) or type(error).__name__
    if error.errno in _NO_ROOM:
        hint = (
            "; free some space" if error.errno != errno.EFBIG else "; raise the limit (ulimit -f)"
        )
        return f"cannot write {where or 'output'}: {reason}{hint}"
    if error.errno in _FEW:
        return f"{where or 'a file'} cannot be opened: {reason}; raise the limit (ulimit -n)"
    if error.errno in (errno.EAGAIN, errno.ENOMEM):
        return f"the system refuses a process, thread or memory: {reason}; see ulimit -a"
    if isinstance(error, FileNotFoundError) and where:
        return f"{where}: no such file or folder"
    if error.errno in _REFUSED and where:
        access = "written" if error.errno == errno.EROFS else "opened"
        return f"{where} cannot be {access}: {reason}"
    if error.errno in _NOT_PLAIN and where:
        return f"{where}: {reason}; remove what stands in its place"
    return f"{where}: {reason}" if where else reason


def _of_arrow(error: BaseException) -> bool:
    """Whether Arrow raised it; without Arrow nothing of it can have been raised."""
    arrow = sys.modules.get("pyarrow")
    return arrow is not None and isinstance(error, arrow.ArrowException)


def _detail(error: BaseException) -> str:
    line = _first_line(error)
    return f" ({line})" if line else ""


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else ""


def _shown(filename: object) -> str:
    """A file's name as a person typed it; an output's temporary by the output's name."""
    if not isinstance(filename, str | Path):
        return ""
    return str(filename)
