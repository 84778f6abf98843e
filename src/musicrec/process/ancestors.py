"""A stage ends with the DVC that started it, and does not overwrite what a later one wrote."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

LOOK_SECONDS = 0.5
SHELLS = ("sh", "bash", "dash", "zsh", "fish", "ksh")


def end_with_parent() -> None:
    """Send this process SIGTERM when its parent is gone, or that of the shell between them.

    DVC runs a command through a shell, which most shells leave to the command and some outlive.
    """
    before = _parents()

    def watch() -> None:
        while not threading.Event().wait(LOOK_SECONDS):
            if _parents() != before:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    threading.Thread(target=watch, daemon=True, name="parent").start()


def _parents() -> tuple[int, ...]:
    """Number of the parent process and, where that is a shell and can be looked at, of its own."""
    parent = os.getppid()
    try:  # Linux: number, (name), state, parent
        text = Path(f"/proc/{parent}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return (parent,)
    name, _, rest = text.partition("(")[2].rpartition(")")
    if name not in SHELLS:
        return (parent,)
    return parent, int(rest.split()[1])
