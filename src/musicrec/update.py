"""`musicrec update`: plays as `ingest` reads them, added to a bundle."""

from __future__ import annotations

import argparse
from pathlib import Path

from musicrec.errors import UsageError
from musicrec.formatting import counted
from musicrec.parsers import Commands, number


def add_update(commands: Commands) -> None:
    """Add new plays to a bundle, without training anew."""
    about = add_update.__doc__
    parser = commands.add_parser("update", help=about, description=about)
    parser.add_argument("bundle", metavar="BUNDLE", help="bundle to start from")
    parser.add_argument(
        "--plays", metavar="SOURCE", required=True, help="new plays, as data.source names them"
    )
    parser.add_argument("--output", metavar="FOLDER", required=True, help="bundle to write")
    parser.add_argument(
        "--rounds", metavar="N", type=number(int, 1, 100), default=1, help="%(default)s"
    )
    parser.add_argument(
        "--params",
        metavar="FILE",
        help="whose block data says how plays are read (params.yaml, where there is one)",
    )
    parser.add_argument("--groups", metavar="FILE", help="groups and names, new tracks' too")
    parser.set_defaults(run=run_update)


def run_update(args: argparse.Namespace) -> None:
    """Write the updated bundle."""
    from musicrec.bundle import load_bundle
    from musicrec.bundle.update import update
    from musicrec.ingest.run import read_plays
    from musicrec.params import NO_GROUPS, DataParams, load_params
    from musicrec.storage.outputs import is_stage_output, output_folder

    if is_stage_output(output_folder(args.output)):
        raise UsageError(f"{args.output}: a stage of the pipeline writes this; name another folder")
    params = DataParams()
    if args.params or Path("params.yaml").is_file():
        params = load_params(args.params or "params.yaml").data
    parent, columns = load_bundle(args.bundle), params.columns
    if parent.timed and columns.timestamp is None:  # as the pipeline's own files have it
        columns = columns.replace(timestamp="last_played")
    aliases = params.aliases
    if aliases and Path(params.source, aliases).is_file():  # of the pipeline's source
        aliases = str(Path(params.source, aliases))
    given = {"source": args.plays, "files": None, "columns": columns, "aliases": aliases}
    plays = read_plays(params.replace(**given))
    summary = update(parent, plays, args.output, args.rounds, args.groups or NO_GROUPS)
    if not summary:
        print(f"{args.output}: no new plays; the bundle is {args.bundle}")
        return
    added = [
        counted(summary[key], key.rstrip("s").replace("_", " "))
        for key in ("plays", "users", "tracks", "new_users", "new_tracks")
    ]
    said = "{}: {} of {} and {} added, with {} and {}; update {} since the training"
    print(said.format(args.output, *added, summary["number"]))
