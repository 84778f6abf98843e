"""What stops a command during its imports: a signal, or too little memory. One sentence, no trace.

Imported first, for its effect. Later `musicrec.command` handles both, and unwinds the stack.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType, TracebackType


def _end(signum: int, frame: FrameType | None) -> None:
    word = "terminated" if signum == signal.SIGTERM else "interrupted"
    os.write(2, f"error: {word}; no output was written\n".encode())
    os._exit(128 + signum)  # an import would make an ImportError of an exception, or lose it


def _say(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, MemoryError):  # too little to import more
        os.write(2, b"error: not enough memory; free some, or raise the limit (ulimit -v)\n")
        return
    from musicrec.process.sentences import sentence_of

    sentence = sentence_of(error)
    if sentence is None:  # a bug
        sys.__excepthook__(kind, error, trace)
    else:
        os.write(2, f"error: {sentence}\n".encode())


sys.excepthook = _say
for _number in (signal.SIGINT, signal.SIGTERM):
    if signal.getsignal(_number) not in (signal.SIG_IGN, None):
        signal.signal(_number, _end)
