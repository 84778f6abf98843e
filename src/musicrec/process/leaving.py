"""Leave a process that has done its work, without taking down what the system takes down anyway."""

from __future__ import annotations

import os
import sys

_statuses: list[int] = []


def work_done(status: int) -> None:
    """Say with what status the work has ended; what is still to come is the end of Python."""
    _statuses.append(status)


def leave() -> None:
    """End at once with the status of the work, where that is known.

    For the last of the exit handlers, after threads have ended and temporary files are gone. What
    Python does next, freeing each object of numba, matplotlib and Arrow, takes a tenth of a short
    stage.
    """
    if _statuses:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_statuses[-1])
