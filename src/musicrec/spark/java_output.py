"""What Java prints: passed on while it works, and one line of it where it cannot start."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_NOISE = re.compile(
    r"^WARNING: (Using incubator|A terminally|sun\.misc|Please consider|Use --|A restricted|java)"
    r"|^Using Spark's default log4j|^Setting default log level|^To adjust logging level"
    r"|^:: loading settings|^Picked up \w*JAVA"
)
_TELLING = re.compile(r"Exception|Error|Invalid|[Uu]nable|[Cc]annot|[Cc]ould not|[Ff]ailed|refused")
_LIMIT = re.compile(
    r"Too many open files|insufficient memory|unable to create native thread|unresponsive"
)
_HEADING = re.compile(r"^(Error: )?(Error occurred during init|A JNI error has occ|A fatal err)")
_FRAME = re.compile(r"^\s+(at |\.\.\. \d)|^Traceback|^\s+File ")
_PREFIX = re.compile(
    r'^(Caused by: |Exception in thread "[^"]*" |Error: |[\d/:. -]+ (ERROR|WARN|FATAL) \w+: )+'
)
_CLASS = re.compile(r"^(\w+\.)+\w+(Exception|Error): ")


class JavaOutput:
    """Both outputs of a Java that starts within `held`."""

    def __init__(self) -> None:  # noqa: D107
        self._lines: list[str] = []
        self._started = threading.Event()
        self._reader: threading.Thread | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep back what is printed in the block; later lines of Java go on to standard error."""
        before = {handle: os.dup(handle) for handle in (1, 2)}
        reading, writing = os.pipe()
        self._reader = threading.Thread(target=self._read, args=(reading, before[2]), daemon=True)
        self._reader.start()
        for handle in before:  # a Java that gets no memory says so on standard output
            os.dup2(writing, handle)
        os.close(writing)
        try:
            yield
        finally:
            for handle, own in before.items():
                os.dup2(own, handle)
            os.close(before[1])
        self._started.set()
        for line in self._lines:
            _pass_on(line, before[2])

    def reason(self) -> str:
        """Why Java did not start, by what it printed; blank where it said nothing of use."""
        if self._reader is not None:
            self._reader.join(timeout=5.0)  # ends with Java
        lines = [line for line in self._lines if line.strip() and not _FRAME.match(line)]
        lines = [line for line in lines if not (_NOISE.match(line) or _HEADING.match(line))]
        causes = [line for line in lines if line.startswith("Caused by: ")]
        telling = [line for line in lines if _TELLING.search(line)]
        limits = [line for line in lines if _LIMIT.search(line)]
        found = (limits[:1] or causes[-1:] or telling[:1] or lines[-1:] or [""])[0]
        return _CLASS.sub("", _PREFIX.sub("", found.strip())).strip("# .\n")

    def _read(self, reading: int, ours: int) -> None:
        with os.fdopen(reading, encoding="utf-8", errors="replace") as stream:
            for line in stream:
                if self._started.is_set():
                    _pass_on(line, ours)
                else:
                    self._lines.append(line)


def _pass_on(line: str, handle: int) -> None:
    if not _NOISE.match(line):
        os.write(handle, line.encode())
