"""The command line: `musicrec compare`, `review` and `report`, and the commands of serving.

A sub-command is a function that adds its arguments to a parser and names the function that runs
it; what that needs is imported when it runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from musicrec.bundle.commands import (
    IdParser,
    SentenceParser,
    add_explain,
    add_publish,
    add_recommend,
    add_similar,
    add_verify,
)
from musicrec.errors import MusicRecError
from musicrec.metrics.verdicts import MARGIN
from musicrec.review.gate import GATES, STOPPED, doubt, gate_sentence, stopping
from musicrec.runtime import command

if TYPE_CHECKING:
    from musicrec.bundle.commands import Commands


@command
def main(arguments: Sequence[str] | None = None) -> int | None:
    """Run the sub-command that the arguments name."""
    parser = SentenceParser(
        prog="musicrec",
        description="Compare, review and report on revisions; recommend from a bundle.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=16, width=108),
    )
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=IdParser)
    serving = (add_recommend, add_similar, add_explain, add_verify, add_publish)
    for add in (add_compare, add_review, add_report, add_tune, add_original, add_tested, *serving):
        add(commands)
    args = parser.parse_args(arguments)
    if "run" not in args:
        parser.print_help(sys.stderr)
        return 2
    return args.run(args)


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
        type=float,
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
    doubts = [doubt(base), doubt(head)]
    if args.fail_on is not None and doubts[1]:
        raise MusicRecError(f"nothing to judge: {doubts[1]}")
    for reason in filter(None, doubts):
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


def add_tune(commands: Commands) -> None:
    """Search for the best parameters of als and feedback on the validation users."""
    parser = commands.add_parser("tune", help=add_tune.__doc__, description=TUNE)
    parser.add_argument(
        "-S",
        "--set-param",
        metavar="NAME=VALUES",
        action="append",
        default=[],
        dest="overrides",
        help="a range to search, a list, or one value to keep; as often as needed",
    )
    parser.add_argument("--trials", type=int, default=100, help="how many (default: %(default)s)")
    parser.add_argument("--metric", default="", help="what to maximise (default: map@ longest k)")
    parser.add_argument("--seed", type=int, default=42, help="of the search (default: %(default)s)")
    parser.add_argument(
        "--beyond",
        action="store_true",
        help="go on with a wider space if the best is on its border",
    )
    parser.add_argument("--workers", type=int, help=argparse.SUPPRESS)  # gone
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help=argparse.SUPPRESS)
    parser.add_argument("--indexed", type=Path, default=Path("data/indexed"), help="indexed plays")
    parser.add_argument(
        "--output", metavar="FILE", default="tune.html", help="page to write (%(default)s)"
    )
    parser.set_defaults(run=run_tune)


TUNE = """Search for the best parameters of als and feedback on the validation users, all trials in
one process. Ranges are typed as Hydra's: als.rank=8,16,32, als.rank=range(8,65,8) or
als.reg_param=tag(log,interval(0.01,10)). A run that was stopped goes on where it was, and the same
command gives the same trials."""


def run_tune(args: argparse.Namespace) -> None:
    """Search, print what was found and the command that trains it, and write the page."""
    from musicrec.storage.outputs import atomic_path, is_page, output_file
    from musicrec.tune.page import tuning_page
    from musicrec.tune.run import Request, tune
    from musicrec.tune.study import command, notes, table, trial_line

    output_file(args.output, ".html", is_page)
    if args.workers is not None:
        raise MusicRecError(
            "--workers is gone: one trial at a time has all cores; MUSICREC_THREADS=1 takes one"
        )
    if args.trials < 1:
        raise MusicRecError(f"--trials must be at least 1, not {args.trials}")
    if not 0 <= args.seed < 2**31:
        raise MusicRecError(f"--seed must be from 0 to 2147483647, not {args.seed}")
    request = Request(
        params=args.params,
        indexed=args.indexed,
        overrides=args.overrides,
        n_trials=args.trials,
        metric=args.metric,
        seed=args.seed,
        beyond=args.beyond,
    )
    shown = args.metric or "map at the longest k"
    print(f"each trial: {shown} of the validation users", file=sys.stderr)
    study = tune(request, lambda *line: print(trial_line(*line), file=sys.stderr, flush=True))
    with atomic_path(args.output) as temporary:
        temporary.write_text(tuning_page(study), encoding="utf-8")
    print(f"\n{table(study)}\n")
    for note in notes(study):
        print(note)
    print(f"{args.output}: the trials as charts")
    if line := command(study):
        print(f"\n    {line}")
