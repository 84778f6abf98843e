"""The Java that Spark runs on: where it is, and what it says when it fails, as sentences.

Needs the standard library alone: the set-up runs it first.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from musicrec.errors import MusicRecError

MIN_JAVA = 17
_CLASS = re.compile(r"^((\w+\.)+\w+(Exception|Error): )+|^\[[A-Z0-9_.]+\] ")
_STATE = re.compile(r"\s*SQLSTATE: \w+")
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


def find_java() -> Path:
    """Find a `java` of at least version 17: that of JAVA_HOME first, then the one on PATH.

    Raises
    ------
    MusicRecError
        There is none; the sentence says what was found and what to install.
    """
    on_path = shutil.which("java")
    found = []
    for java in (java_of_home(), Path(on_path) if on_path else None):
        version = java_version(java) if java else None
        if java and version is not None and version >= MIN_JAVA:
            return java
        if java:
            found.append(f"{java} is " + (f"version {version}" if version else "no working Java"))
    what = "; ".join(found) if found else "none was found in JAVA_HOME or on PATH"
    raise MusicRecError(
        f"Spark needs Java {MIN_JAVA} or newer, but {what}; install one (Debian, Ubuntu: "
        "apt install openjdk-17-jre-headless; macOS: brew install openjdk@17) or set JAVA_HOME"
    )


def java_of_home() -> Path | None:
    """The `java` below JAVA_HOME, where that is set."""
    home = os.environ.get("JAVA_HOME")
    return Path(home) / "bin" / "java" if home else None


def java_version(java: Path) -> int | None:
    """Major version of a Java, as it says itself; None without any."""
    try:
        run = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', run.stderr + run.stdout)
    return int(match[1]) if match else None


@contextmanager
def readable_errors(what: str) -> Iterator[None]:
    """Turn a failure of Spark or Java inside the block into a MusicRecError of one sentence.

    It names `what` failed, unless the machine is at fault, and the innermost cause.
    """
    from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
    from pyspark.errors import PySparkException

    try:
        yield
    except (Py4JJavaError, PySparkException) as error:
        cause = root_cause(error)
        for sign, advice in _OF_THE_MACHINE.items():
            if sign in cause:
                raise MusicRecError(f"{cause}; {advice}") from None
        raise MusicRecError(f"{what}: {cause}") from None


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


if __name__ == "__main__":
    try:
        print(find_java())
    except MusicRecError as error:
        sys.exit(f"error: {error}")
