"""The program `musicrec`, also `python -m musicrec`."""

from __future__ import annotations

import sys

import musicrec.process.early  # noqa: F401  (first, for signals during the imports below)
from musicrec.cli import main
from musicrec.command import all_done


def run() -> int:
    """Run the command line."""
    try:
        return main()
    finally:
        all_done()


if __name__ == "__main__":
    sys.exit(run())
