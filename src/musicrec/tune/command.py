"""`musicrec tune`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from musicrec.errors import MusicRecError
from musicrec.parsers import Commands, number


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
    parser.add_argument(
        "--trials",
        type=number(int, 1, 1_000_000),
        default=100,
        help="how many (default: %(default)s)",
    )
    parser.add_argument("--metric", default="", help="what to maximise (default: map@ longest k)")
    parser.add_argument(
        "--seed",
        type=number(int, 0, 2**31 - 1),
        default=42,
        help="of the search (default: %(default)s)",
    )
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
