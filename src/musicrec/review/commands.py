"""The commands of a review: `musicrec compare`, `review`, `report` and `tested`."""

from __future__ import annotations

import argparse
import sys

from musicrec.errors import MusicRecError
from musicrec.metrics.verdicts import MARGIN
from musicrec.parsers import Commands, number
from musicrec.review.gate import GATES, STOPPED, gate_sentence, outdated, stopping


def add_compare(commands: Commands) -> None:
    """Say whether one revision's metrics are better than another's, with intervals."""
    parser = commands.add_parser(
        "compare",
        help=add_compare.__doc__,
        description=add_compare.__doc__,
        epilog="exit status: 0 done, or passed by --fail-on; 1 cannot be compared (the sentence "
        "says why); 2 mistyped; 3 stopped by --fail-on",
    )
    parser.add_argument("base", metavar="BASE", help="branch, tag, commit, experiment or workspace")
    parser.add_argument(
        "head", metavar="HEAD", nargs="?", default="workspace", help="the same (default: workspace)"
    )
    parser.add_argument(
        "--metrics",
        metavar="NAME",
        nargs="+",
        help="metrics such as ndcg@100 (default: four headline metrics)",
    )
    add_margin(parser)
    parser.add_argument(
        "--fail-on",
        choices=GATES,
        help="exit with 3 if a metric is worse; also if it is not shown to be no worse than the "
        "margin; or if it is anything but better",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--md", action="store_const", const="md", dest="form", help="as Markdown")
    form.add_argument("--json", action="store_const", const="json", dest="form", help="as JSON")
    parser.set_defaults(run=run_compare, form="text")


def add_margin(parser: argparse.ArgumentParser) -> None:
    """Add the option of the relative change that matters."""
    parser.add_argument(
        "--margin",
        type=number(float, 0, 1),
        default=MARGIN,
        metavar="SHARE",
        help="the relative change that matters (default: %(default)s, one percent; 0: any)",
    )


def run_compare(args: argparse.Namespace) -> int:
    """Print the comparison; 3 if the gate stops it."""
    from musicrec.project.revisions import UnavailableError, open_revisions
    from musicrec.review.compare import (
        as_json,
        as_markdown,
        as_text,
        compare,
        same_table,
        same_table_sentence,
    )

    base, head = open_revisions([args.base, args.head])
    outdated_sides = [outdated(base), outdated(head)]
    if args.fail_on is not None and outdated_sides[1]:
        raise MusicRecError(f"nothing to judge: {outdated_sides[1]}")
    for reason in filter(None, outdated_sides):
        print(f"warning: {reason}", file=sys.stderr)
    try:
        result = compare(base, head, args.metrics, args.margin)
    except UnavailableError:
        if args.fail_on in (None, "not-better") or not same_table(base, head):
            raise
        print(same_table_sentence(base, head))
        return 0
    print({"text": as_text, "md": as_markdown, "json": as_json}[args.form](result))
    if result.split == "test":
        from musicrec.review.tested import scored_on, sentence

        print(f"\n{sentence(scored_on('test'))}", file=sys.stderr)
    if args.fail_on is None:
        return 0
    print(gate_sentence(result, args.fail_on), file=sys.stderr)
    return STOPPED if stopping(result, args.fail_on) else 0


def add_review(commands: Commands) -> None:
    """Print a Markdown report of a change: params, data, metrics, speed, stale stages."""
    parser = commands.add_parser("review", help=add_review.__doc__, description=add_review.__doc__)
    parser.add_argument(
        "--base", default="main", help="revision to compare with (default: %(default)s)"
    )
    parser.add_argument(
        "--head", default="workspace", help="revision to review (default: %(default)s)"
    )
    add_margin(parser)
    parser.add_argument(
        "--fail-on",
        "--gate",
        choices=GATES,
        dest="gate",
        help="say whether `compare --fail-on` would stop the change (the exit status stays 0)",
    )
    parser.set_defaults(run=run_review)


def run_review(args: argparse.Namespace) -> None:
    """Print the report."""
    from musicrec.project.revisions import open_revisions
    from musicrec.review.report import review

    base, head = open_revisions([args.base, args.head])
    print(review(base, head, args.margin, args.gate), end="")


def add_report(commands: Commands) -> None:
    """Write one HTML file about revisions or experiments, drawn over each other and a base."""
    parser = commands.add_parser("report", help=add_report.__doc__, description=add_report.__doc__)
    parser.add_argument(
        "revisions",
        metavar="REV",
        nargs="*",
        default=["workspace"],
        help="branches, tags, commits, experiments or workspace (default: workspace)",
    )
    parser.add_argument(
        "--base", default="main", help="revision to compare them with (default: %(default)s)"
    )
    add_margin(parser)
    parser.add_argument(
        "--output", metavar="FILE", default="report.html", help="file to write (%(default)s)"
    )
    parser.set_defaults(run=run_report)


def run_report(args: argparse.Namespace) -> None:
    """Write the page and name it."""
    from musicrec.project.revisions import open_revisions
    from musicrec.review.page import page
    from musicrec.storage.outputs import atomic_path, is_page, output_file

    output_file(args.output, ".html", is_page)
    names = [name for name in dict.fromkeys(args.revisions) if name != args.base]
    base, *heads = open_revisions([args.base, *(names or [args.base])])
    written = page(base, heads, args.margin)
    with atomic_path(args.output) as temporary:
        temporary.write_text(written.html, encoding="utf-8")
    print(*written.verdicts, sep="\n")
    print(f"{args.output}: open it in a browser; it needs no network")


def add_tested(commands: Commands) -> None:
    """List the settings that were ever scored on test users in this clone."""
    parser = commands.add_parser("tested", help=add_tested.__doc__, description=add_tested.__doc__)
    parser.set_defaults(run=run_tested)


def run_tested(args: argparse.Namespace) -> None:
    """Print the list."""
    from musicrec.project.revisions import Revision
    from musicrec.review.tested import as_text, scored_on

    print(as_text(scored_on("test"), Revision("workspace").read_yaml("params.yaml")))
