"""`musicrec original`."""

from __future__ import annotations

import argparse
from pathlib import Path

from musicrec.parsers import Commands


def add_original(commands: Commands) -> None:
    """Compute the original project's whole report anew, on the plays that are indexed."""
    parser = commands.add_parser("original", help=add_original.__doc__, description=ORIGINAL)
    parser.add_argument("--indexed", type=Path, default=Path("data/indexed"), help="indexed plays")
    parser.add_argument(
        "--params",
        type=Path,
        default=Path("params.original.yaml"),
        help="its setting; the grid keeps what it does not vary (default: %(default)s)",
    )
    parser.add_argument(
        "--output", metavar="FILE", default="original.html", help="page to write (%(default)s)"
    )
    parser.set_defaults(run=run_original)


ORIGINAL = """Compute the original project's whole report anew, on the plays that are indexed: its
grid, the best point on the test users, log compression, dropped counts, and its search by Annoy.
Every result is kept below data/original, so that a run that was stopped goes on where it was and a
second run computes nothing."""


def run_original(args: argparse.Namespace) -> None:
    """Compute what is missing and write the page."""
    from musicrec.original.page import original_page, summary
    from musicrec.original.run import original
    from musicrec.runtime import progress
    from musicrec.storage.outputs import atomic_path, is_page, output_file

    output_file(args.output, ".html", is_page)
    counts = Path("plots/data/counts.json")
    report, computed = original(args.indexed, args.params, counts, on_step=progress)
    with atomic_path(args.output) as temporary:
        temporary.write_text(original_page(report), encoding="utf-8")
    print(summary(report))
    print(f"{computed} results computed; {args.output}: open it in a browser; it needs no network")
