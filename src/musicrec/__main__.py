"""The program `musicrec`, also `python -m musicrec`."""

from __future__ import annotations

import sys

import musicrec.early  # noqa: F401  (first, for signals during the imports below)
from musicrec.cli import main


def run() -> int:
    """Run the command line."""
    return main()


if __name__ == "__main__":
    sys.exit(run())
