"""Ctrl-C and SIGTERM during the imports of a command: one sentence, and no stack trace.

Imported first, for its effect. Later `musicrec.command` handles signals, and unwinds the stack.
"""

from __future__ import annotations

import os
import signal
from types import FrameType


def _end(signum: int, frame: FrameType | None) -> None:
    word = "terminated" if signum == signal.SIGTERM else "interrupted"
    os.write(2, f"error: {word}; no output was written\n".encode())
    os._exit(128 + signum)  # an import would make an ImportError of an exception, or lose it


for _number in (signal.SIGINT, signal.SIGTERM):
    if signal.getsignal(_number) not in (signal.SIG_IGN, None):
        signal.signal(_number, _end)
