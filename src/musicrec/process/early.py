"""What stops a command during its imports: a signal, or too little memory. One sentence, no trace.

Imported first, for its effect. Later `musicrec.command` handles both, and unwinds the stack.
"""

from __future__ import annotations

import atexit
import os
import resource
import signal
import sys
from types import FrameType, TracebackType

from musicrec.process.leaving import leave

# Below it the C++ of Arrow and LLVM ends a process without a word, or spins (tried: 500 to 900 MB).
LEAST_ADDRESS_SPACE = 1 << 30  # bytes


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


def _require_address_space() -> None:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < LEAST_ADDRESS_SPACE:
        os.write(
            2,
            b"error: not enough memory: the limit of address space (ulimit -v) is %d MB, and "
            b"musicrec needs %d MB; raise it\n" % (limit >> 20, LEAST_ADDRESS_SPACE >> 20),
        )
        os._exit(1)


atexit.register(leave)  # the first to be registered is the last to run
sys.excepthook = _say
_require_address_space()
for _number in (signal.SIGINT, signal.SIGTERM):
    if signal.getsignal(_number) not in (signal.SIG_IGN, None):
        signal.signal(_number, _end)
