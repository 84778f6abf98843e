"""The command line: a table of sub-commands, each declared beside the code that it runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from musicrec import serving
from musicrec.parsers import IdParser, SentenceParser
from musicrec.review import commands as review
from musicrec.runtime import command
from musicrec.tune import commands as tune


@command
def main(arguments: Sequence[str] | None = None) -> int | None:
    """Run the sub-command that the arguments name."""
    parser = SentenceParser(
        prog="musicrec",
        description="Compare, review and report on revisions; recommend from a bundle.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=16, width=108),
    )
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=IdParser)
    for add in (
        *(review.add_compare, review.add_review, review.add_report, review.add_judge),
        *(review.add_tested, tune.add_tune, tune.add_original),
        *(serving.add_recommend, serving.add_similar, serving.add_explain, serving.add_verify),
        *(serving.add_update, serving.add_export_vectors, serving.add_publish),
    ):
        add(commands)
    args = parser.parse_args(arguments)
    if "run" not in args:
        parser.print_help(sys.stderr)
        return 2
    return args.run(args)
