"""The commands of a review: `musicrec compare`, `review`, `report`, `judge` and `tested`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from musicrec.errors import MusicRecError, warn
from musicrec.metrics.definitions import GATES, MARGIN
from musicrec.parsers import Commands, add_command, number
from musicrec.project import Revision, open_revisions
from musicrec.storage.outputs import is_page, output_file

STOPPED = 3  # exit status; 1 is an error, 2 a mistyped command
REVISION = "branch, tag, commit, experiment or workspace"


def _add_what(parser: argparse.ArgumentParser, *, starts: bool) -> None:
    """Add what is compared: metrics, slices, the margin, and training runs."""
    add = parser.add_argument
    about = "metrics such as ndcg@100 or coverage@10 (default: the headline metrics)"
    add("--metrics", metavar="NAME", nargs="+", help=about)
    about = "also by parts of the users: length of history, popularity of the held-out tracks"
    add("--by", nargs="+", choices=("history", "popularity"), default=(), help=about)
    about = "the relative change that matters (default: %(default)s, one percent; 0: any)"
    share = number(float, 0, 1)
    add("--margin", type=share, default=MARGIN, metavar="SHARE", help=about)
    if starts:
        about = "train both anew from N seeds, and count what differs between them"
        add("--starts", type=number(int, 1, 100), default=1, metavar="N", help=about)


def _as_asked(args: argparse.Namespace) -> Callable[..., Any]:
    """`compare` by what `_add_what` added."""
    from musicrec.review.compare import compare

    names = ("metrics", "margin", "by", "starts")
    return partial(compare, **{name: vars(args)[name] for name in names if name in args})


def add_compare(commands: Commands) -> None:
    """Say whether one revision's metrics are better than another's, with intervals."""
    parser = add_command(commands, "compare", add_compare.__doc__, run_compare)
    parser.epilog = (
        "exit status: 0 done, or passed by --fail-on; 1 cannot be compared (the sentence says "
        "why); 2 mistyped; 3 stopped by --fail-on"
    )
    add = parser.add_argument
    add("base", metavar="BASE", nargs="?", help=REVISION)
    add("head", metavar="HEAD", nargs="?", help="the same (default: workspace)")
    about = (
        "compare the only revision with the bundle that it was judged beside "
        "(evaluate.champion), which has to be that of FOLDER"
    )
    add("--champion", nargs="?", const="", metavar="FOLDER", help=about)
    _add_what(parser, starts=True)
    about = (
        "exit with 3 if a metric is worse; also if it is not shown to be no worse than the "
        "margin; or if it is anything but better"
    )
    add("--fail-on", choices=GATES, help=about)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--md", action="store_const", const="md", dest="form", help="as Markdown")
    form.add_argument("--json", action="store_const", const="json", dest="form", help="as JSON")
    parser.set_defaults(form="text", usage_error=parser.error)


def run_compare(args: argparse.Namespace) -> int:
    """Print the comparison; 3 if the gate stops it."""
    from musicrec.review.result import as_json, as_markdown, as_text
    from musicrec.review.tables import Champion, outdated

    if args.champion is None:
        if args.base is None:
            args.usage_error("name BASE, or --champion")
        base, head = open_revisions([args.base, args.head or "workspace"])
    else:
        if args.head is not None:
            args.usage_error("--champion takes the place of BASE; name one revision")
        (head,) = open_revisions([args.base or "workspace"])
        base = Champion(head, args.champion)
    reasons = [outdated(base), outdated(head)] if args.starts == 1 else ["", ""]
    if args.fail_on and reasons[1]:
        raise MusicRecError(f"nothing to judge: {reasons[1]}")
    warn(*filter(None, reasons))
    result = _as_asked(args)(base, head)
    print({"text": as_text, "md": as_markdown, "json": as_json}[args.form](result))
    if result.split == "test":
        from musicrec.review.tested import scored_on, sentence

        print(f"\n{sentence(scored_on('test'))}", file=sys.stderr)
    if not args.fail_on:
        return 0
    print(result.gate_sentence(args.fail_on), file=sys.stderr)
    return STOPPED if result.stopping(args.fail_on) else 0


def add_review(commands: Commands) -> None:
    """Print a Markdown report of a change: params, code, data, metrics, search, stale stages."""
    parser = add_command(commands, "review", add_review.__doc__, run_review)
    add = parser.add_argument
    add("--base", default="main", help="revision to compare with (%(default)s)")
    add("--head", default="workspace", help="revision to review (%(default)s)")
    _add_what(parser, starts=False)
    about = "say whether `compare --fail-on` would stop the change (the exit status stays 0)"
    add("--fail-on", "--gate", choices=GATES, help=about)


def run_review(args: argparse.Namespace) -> None:
    """Print the report."""
    from musicrec.review.markdown import review

    base, head = open_revisions([args.base, args.head])
    print(review(base, head, args.fail_on, _as_asked(args)), end="")


def add_report(commands: Commands) -> None:
    """Write one HTML file about revisions or experiments, drawn over each other and a base."""
    parser = add_command(commands, "report", add_report.__doc__, run_report)
    add = parser.add_argument
    about = f"{REVISION} (default: workspace)"
    add("revisions", metavar="REV", nargs="*", default=["workspace"], help=about)
    add("--base", default="main", help="revision to compare with (%(default)s)")
    _add_what(parser, starts=True)
    about = "file to write (%(default)s)"
    add("--output", metavar="FILE", default="report.html", help=about)


def run_report(args: argparse.Namespace) -> None:
    """Write the page and name it."""
    from musicrec.review.report import page
    from musicrec.storage.files import write_text

    output_file(args.output, ".html", is_page)
    names = [name for name in dict.fromkeys(args.revisions) if name != args.base]
    base, *heads = open_revisions([args.base, *(names or [args.base])])
    html, verdicts = page(base, heads, _as_asked(args))
    write_text(args.output, html)
    print(*verdicts, sep="\n")
    print(f"{args.output}: open it in a browser; it needs no network")


def add_judge(commands: Commands) -> None:
    """Judge anybody's lists for the held-out users, so that they are compared like a revision."""
    parser = add_command(commands, "judge", add_judge.__doc__, run_judge)
    about = "CSV, TSV, Parquet or a folder of it: user_id, track_id, and position or score"
    parser.add_argument("lists", metavar="LISTS", help=about)
    parser.add_argument("--name", required=True, help="for musicrec compare and report")
    about = "also write run.txt and qrels.txt, for trec_eval and its like"
    parser.add_argument("--trec", type=Path, metavar="FOLDER", help=about)


def run_judge(args: argparse.Namespace) -> None:
    """Judge them, and say what was wrong with them and how they stand."""
    from musicrec.review.judge import judge_lists

    print(*judge_lists(args.lists, args.name, args.trec), sep="\n")
    print(f"next: musicrec compare {args.name} workspace")


def add_tested(commands: Commands) -> None:
    """List the settings that were ever scored on test users in this clone."""
    add_command(commands, "tested", add_tested.__doc__, run_tested)


def run_tested(args: argparse.Namespace) -> None:
    """Print the list."""
    from musicrec.review.tested import as_text, scored_on

    print(as_text(scored_on("test"), Revision("workspace").read_yaml("params.yaml")))
