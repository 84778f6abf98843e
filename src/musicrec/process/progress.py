"""Progress of a long step, for a person who watches."""

from __future__ import annotations

import sys


def progress(text: str) -> None:
    """Print a line to standard error, unless nobody watches: in a log it would be noise."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)
