"""The command line: a table of sub-commands, each declared beside the code that it runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from musicrec.parsers import IdParser, SentenceParser
from musicrec.review.commands import (
    add_compare,
    add_judge,
    add_report,
    add_review,
    add_tested,
)
from musicrec.runtime import command
from musicrec.serving import (
    add_explain,
    add_export_vectors,
    add_publish,
    add_recommend,
    add_similar,
    add_update,
    add_verify,
)
from musicrec.tune.commands import add_original, add_tune


@command
def main(arguments: Sequence[str] | None = None) -> int | None:
    """Run the sub-command that the arguments name."""
    parser = SentenceParser(
        prog="musicrec",
        description="Compare, review and report on revisions; recommend from a bundle.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=16, width=108),
    )
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=IdParser)
    serving = (add_recommend, add_similar, add_explain, add_verify)
    bundles = (add_update, add_export_vectors, add_publish)
    revisions = (add_compare, add_review, add_report, add_judge, add_tested)
    for add in (*revisions, add_tune, add_original, *serving, *bundles):
        add(commands)
    args = parser.parse_args(arguments)
    if "run" not in args:
        parser.print_help(sys.stderr)
        return 2
    return args.run(args)
