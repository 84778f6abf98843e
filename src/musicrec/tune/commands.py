"""`musicrec tune` and `musicrec original`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from musicrec.errors import UsageError
from musicrec.parsers import Commands, add_command, number
from musicrec.storage.outputs import is_page, output_file


def add_tune(commands: Commands) -> None:
    """Search for the best parameters of als and feedback on the validation users.

    All trials are in one process. Ranges are typed as Hydra's: als.rank=8,16,32,
    als.rank=range(8,65,8) or als.reg_param=tag(log,interval(0.01,10)). A run that was stopped goes
    on where it was, and the same command gives the same trials.
    """
    parser = add_command(commands, "tune", add_tune.__doc__, run_tune)
    add = parser.add_argument
    about = "a range to search, a list, or one value to keep; as often as needed"
    words = ("-S", "--set-param")
    add(*words, metavar="NAME=VALUES", action="append", default=[], dest="overrides", help=about)
    count, seed = number(int, 1, 1_000_000), number(int, 0, 2**31 - 1)
    add("--trials", type=count, default=100, help="how many (%(default)s)")
    add("--seed", type=seed, default=42, help="of the search (%(default)s)")
    add("--metric", default="", help="what to maximise (default: map@ longest k)")
    add("--beyond", action="store_true", help=argparse.SUPPRESS)  # of version 0.1
    _add_paths(parser, "tune.html")


def add_original(commands: Commands) -> None:
    """Compute the original project's whole report anew, on the plays that are indexed.

    Its grid, the best point on the test users, log compression, dropped counts, and its search by
    Annoy. Every result is kept below data/original, so that a run that was stopped goes on where it
    was and a second run computes nothing.
    """
    parser = add_command(commands, "original", add_original.__doc__, run_original)
    about = "its setting; the grid keeps what it does not vary (default: %(default)s)"
    parser.add_argument("--params", type=Path, default=Path("params.original.yaml"), help=about)
    _add_paths(parser, "original.html")


def _add_paths(parser: argparse.ArgumentParser, page: str) -> None:
    add = parser.add_argument
    add("--indexed", type=Path, default=Path("data/indexed"), help="indexed plays")
    add("--output", metavar="FILE", default=page, help="page to write (%(default)s)")


def run_tune(args: argparse.Namespace) -> None:
    """Search, print what was found and the command that trains it, and write the page."""
    from musicrec.storage.files import write_text
    from musicrec.tune.pages import command, notes, trial_line, trials_table, tuning_page
    from musicrec.tune.run import Request, tune

    if args.beyond:
        raise UsageError("--beyond is gone: search again with a wider range, -S NAME=...")
    output_file(args.output, ".html", is_page)
    of_search = (args.trials, args.metric, args.seed)
    request = Request(Path("params.yaml"), args.indexed, args.overrides, *of_search)
    study = tune(request, lambda *line: print(trial_line(*line), file=sys.stderr, flush=True))
    write_text(args.output, tuning_page(study))
    print(f"\n{trials_table(study).text()}\n")
    print(*notes(study), f"{args.output}: the trials as charts", sep="\n")
    if line := command(study):
        print(f"\n    {line}")


def run_original(args: argparse.Namespace) -> None:
    """Compute what is missing and write the page."""
    from musicrec.params import load_params
    from musicrec.storage.files import write_text
    from musicrec.tune.original import Work
    from musicrec.tune.pages import original_page, summary

    output_file(args.output, ".html", is_page)
    work = Work(args.indexed, load_params(args.params).als)
    counts = Path("plots/data/counts.json")
    rows = json.loads(counts.read_text()) if counts.is_file() else []
    write_text(args.output, original_page(work, rows))
    print(summary(work))
    print(f"{work.computed} results computed; {args.output}: a page that needs no network")
