"""The commands on a bundle: `musicrec recommend`, `similar`, `update`, `publish` and others.

Exit codes: 0 an answer, 1 none (one sentence says why), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musicrec.errors import MusicRecError, UsageError
from musicrec.formatting import Table, counted
from musicrec.parsers import Commands, add_command, number
from musicrec.storage.outputs import output_file

if TYPE_CHECKING:
    from musicrec.bundle.bundle import Bundle
    from musicrec.bundle.query import Answer

OPTIONAL = ("name", "last played")  # columns shown where a row has something there
Labels = Mapping[str, str]


def add_recommend(commands: Commands) -> None:
    """Recommend tracks to a known user, to anyone whose plays are given, or to all users."""
    parser = _question(commands, "recommend", add_recommend.__doc__, run_recommend)
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--user", metavar="ID", help="a user of the training plays")
    _add_plays(who)
    who.add_argument("--all", action="store_true", help="every user, to the file of --output")
    add: Any = parser.add_argument
    about = "allow tracks already played"
    add("--with-seen", dest="exclude_seen", action="store_false", help=about)
    add("--not-played-for", metavar="60d", help="allow those not played for so long (h, d, w)")
    ids = {"metavar": "ID", "nargs": "+", "action": "extend"}
    add("--candidates", help="recommend nothing but these tracks", **ids)
    add("--exclude", default=[], help="never recommend these tracks", **ids)
    add("--search-k", metavar="NODES", type=int, help="search the Annoy index (default: exact)")
    add("--diversity", type=float, default=0.0, help="0 to 1, against the score (%(default)s)")
    add("--min-score", type=float, help="recommend nothing of a lower score")
    add("--max-per-group", metavar="N", type=int, help="at most N tracks of one group (artist)")
    lines = {"metavar": "FILE", "type": _words}
    about = "a track a line, never recommended; or user, tab, track: never to this user"
    add("--exclude-from", default=[], help=about, **lines)
    about = "a track a line; recommend nothing else"
    add("--candidates-from", dest="candidates", action="extend", help=about, **lines)
    add("--users", help="with --all: a user a line; no others", **lines)
    add("--output", metavar="FILE", help="with --all: Parquet file to write")
    about = "with --all: in process, or on Spark's executors (%(default)s)"
    add("--engine", choices=("native", "spark"), default="native", help=about)
    parser.set_defaults(usage_error=parser.error)


def run_recommend(args: argparse.Namespace) -> None:
    """Print the tracks, or write those of all users."""
    from musicrec.bundle.query import Options

    if args.all != (args.output is not None):
        args.usage_error("--all and --output FILE go together")
    if args.all and args.search_k is not None:
        args.usage_error("--all searches exactly; leave out --search-k")
    if args.users is not None and not args.all:
        args.usage_error("--users goes with --all")
    if args.all:
        from musicrec.bundle.batch import SCHEMA
        from musicrec.storage.parquet import has_columns

        output_file(args.output, ".parquet", lambda path: has_columns(path, SCHEMA.names))
    bundle, labels = _load(args)
    options: Any = {name: vars(args)[name] for name in Options.__annotations__}
    exclude_for: dict[str, list[str]] = {}
    for line in args.exclude_from:
        user, tab, track = line.partition("\t")
        if tab:
            exclude_for.setdefault(user, []).append(_by_name(track, bundle, labels))
        else:
            args.exclude.append(line)
    for name in ("candidates", "exclude"):
        if vars(args)[name] is not None:
            options[name] = [_by_name(given, bundle, labels) for given in vars(args)[name]]
    if args.all:
        _write_all(args, bundle, options, exclude_for)
    elif args.user is not None:
        options["exclude"] += exclude_for.get(args.user, ())
        _print_answer(args, bundle.recommend(args.user, args.k, **options), labels)
    else:
        plays = _plays(args, bundle, labels)
        _print_answer(args, bundle.recommend_for_plays(plays, args.k, **options), labels)


def _write_all(
    args: argparse.Namespace, bundle: Bundle, options: Any, exclude_for: dict[str, list[str]]
) -> None:
    import pyarrow.parquet as pq

    from musicrec.bundle.batch import Request, recommend_all, recommend_all_on_spark

    query = bundle.query(args.k, **options)
    found = None if args.users is None else bundle.users.indices(args.users)
    _note_unknown(query.unknown + (found.unknown if found else ()))
    users = found.known if found else None
    request = Request(query, users, bundle.exclusions(exclude_for) if exclude_for else None)
    if args.engine == "native" or (users is not None and not len(users)):
        recommend_all(bundle, args.output, request)
    else:
        from musicrec.spark.session import spark_session

        with spark_session("recommend") as spark:
            recommend_all_on_spark(spark, bundle, args.output, request)
    about, n_users = pq.read_metadata(args.output), len(bundle.users if users is None else users)
    print(
        f"{args.output}: up to {args.k:,} tracks for each of {n_users:,} users, "
        f"{about.num_rows:,} rows ({', '.join(about.schema.names)}), "
        f"{Path(args.output).stat().st_size:,} bytes"
    )


def add_similar(commands: Commands) -> None:
    """Find the tracks most like a track, or the users most like a user."""
    parser = _question(commands, "similar", add_similar.__doc__, run_similar)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--track", metavar="ID", help="a track of the training plays")
    what.add_argument("--user", metavar="ID", help="a user of the training plays")


def run_similar(args: argparse.Namespace) -> None:
    """Print the neighbours and their cosine."""
    bundle, labels = _load(args)
    if args.track is not None:
        kind, found = "track", bundle.similar_tracks(_by_name(args.track, bundle, labels), args.k)
    else:
        kind, labels, found = "user", {}, bundle.similar_users(args.user, args.k)
    if not found:
        raise MusicRecError(f"no {kind} is like this one: its factor is zero, or k is 0")
    known = [({f"{kind}_id": one.id, "similarity": one.similarity}, one.id) for one in found]
    content = {f"{kind}s": [_named(*one, labels) for one in known]}
    rows = [
        (str(position), one.id, labels.get(one.id, ""), f"{one.similarity:.4f}")
        for position, one in enumerate(found, 1)
    ]
    _print(args, content, ("", kind, "name", "cosine"), rows)


def add_explain(commands: Commands) -> None:
    """Say which plays carried the score of a track."""
    parser = _question(commands, "explain", add_explain.__doc__, run_explain)
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--user", metavar="ID", help="a user of the training plays")
    _add_plays(who)
    parser.add_argument("--track", metavar="ID", required=True, help="the track to explain")


def run_explain(args: argparse.Namespace) -> None:
    """Print which plays carried a score: the k largest parts, and the sum of the others."""
    from musicrec.bundle.query import whole

    bundle, labels = _load(args)
    track, k = _by_name(args.track, bundle, labels), whole("k", args.k, 0)
    if args.user is not None:
        why = bundle.explain(args.user, track)
    else:
        why = bundle.explain_for_plays(_plays(args, bundle, labels), track)
    plays = [_named(asdict(part), part.track_id, labels) for part in why.plays]
    content = {"track_id": why.track_id, "score": why.score, "plays": plays}
    content = _named(content, why.track_id, labels) | {"remainder": why.remainder}
    rows = [
        (part.track_id, labels.get(part.track_id, ""), f"{part.count:,}", f"{part.part:+.4f}")
        for part in why.plays[:k]
    ]
    others = sum(part.part for part in why.plays[k:]) + why.remainder
    if len(why.plays) > k or abs(others) >= 0.00005:  # as much as is shown
        count = len(why.plays[k:])
        rows.append((f"{count} others" if count else "remainder", "", "", f"{others:+.4f}"))
    rows.append((f"score of {why.track_id}", labels.get(why.track_id, ""), "", f"{why.score:.4f}"))
    _print(args, content, ("play", "name", "count", "part"), rows)


def add_verify(commands: Commands) -> None:
    """Check a bundle: hash and shape of every file, and a few answers known from its export."""
    _command(commands, "verify", add_verify.__doc__, run_verify)


def run_verify(args: argparse.Namespace) -> None:
    """Print what is in a verified bundle."""
    bundle, _ = _load(args)
    manifest = bundle.manifest
    size = sum(file.bytes for file in manifest.files.values())
    sizes = manifest.sizes
    print(
        f"{args.bundle}: verified; {sizes.n_users:,} users, {sizes.n_items:,} tracks, rank "
        f"{sizes.rank}, {sizes.n_plays:,} plays; {len(manifest.files)} files of {size:,} bytes, "
        f"{len(manifest.sentinels)} sentinel users answered"
    )


def add_update(commands: Commands) -> None:
    """Add new plays to a bundle, without training anew."""
    parser = add_command(commands, "update", add_update.__doc__, run_update)
    parser.add_argument("bundle", metavar="BUNDLE", help="bundle to start from")
    parser.add_argument(
        "--plays", metavar="SOURCE", required=True, help="new plays, as data.source names them"
    )
    parser.add_argument("--output", metavar="FOLDER", required=True, help="bundle to write")
    about = "half steps over the users, then the tracks, of the new plays (%(default)s)"
    rounds = number(int, 1, 100)
    parser.add_argument("--rounds", metavar="N", type=rounds, default=1, help=about)
    parser.add_argument(
        "--params",
        metavar="FILE",
        help="whose block data says how plays are read (params.yaml, where there is one)",
    )
    parser.add_argument("--groups", metavar="FILE", help="groups and names, new tracks' too")


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


def add_export_vectors(commands: Commands) -> None:
    """Write the track vectors of a bundle for a vector store."""
    parser = _command(commands, "export-vectors", add_export_vectors.__doc__, run_export_vectors)
    parser.add_argument("output", metavar="FOLDER", help="folder to write")
    parser.add_argument("--to", choices=("parquet", "hnswlib", "faiss"), required=True)
    about = "factors as they are, for inner product; by default augmented, for distance"
    parser.add_argument("--raw", action="store_true", help=about)


def run_export_vectors(args: argparse.Namespace) -> None:
    """Write the vectors, and say how they are asked."""
    from musicrec.bundle.vectors import export_vectors

    if args.raw and args.to == "hnswlib":
        print("warning: a graph over raw inner products misses most of the best", file=sys.stderr)
    bundle, _ = _load(args)
    ids = bundle.tracks.to_arrow()
    about = export_vectors(bundle.item_factors, ids, args.to, args.output, args.raw)
    print(f"{args.output}: search by {about['metric']}; a query is {about['query']}")


def add_publish(commands: Commands) -> None:
    """Copy a bundle for others, with its metrics, git revision and a model card."""
    parser = _command(commands, "publish", add_publish.__doc__, run_publish)
    parser.add_argument("output", metavar="FOLDER", help="folder to write")
    about = "checkout with metrics/ and dvc.lock (%(default)s)"
    parser.add_argument("--project", default=".", help=about)


def run_publish(args: argparse.Namespace) -> None:
    """Write the copy."""
    from musicrec.baselines.lists import model_title
    from musicrec.bundle.publish import publish

    unbeaten = [model_title(name) for name in publish(args.bundle, args.project, args.output)]
    print(f"{args.output}: published")
    if unbeaten:
        told = f"the model is not shown to beat {', '.join(unbeaten)}; its card says how it stands"
        print(f"warning: {told}", file=sys.stderr)


def _command(
    commands: Commands, name: str, about: str | None, run: Callable[[argparse.Namespace], None]
) -> argparse.ArgumentParser:
    """A command that reads a bundle."""
    parser = add_command(commands, name, about, run)
    parser.add_argument("--bundle", default="data/bundle", help="exported model (%(default)s)")
    parser.set_defaults(labels=None)
    return parser


def _question(
    commands: Commands, name: str, about: str | None, run: Callable[[argparse.Namespace], None]
) -> argparse.ArgumentParser:
    """A command that asks a bundle for tracks or users."""
    parser = _command(commands, name, about, run)
    parser.add_argument("-k", type=int, default=10, help="how many (%(default)s)")
    about = "names, which may stand for ids: id and name a line, TSV or CSV"
    parser.add_argument("--labels", metavar="FILE", type=_labels, help=about)
    parser.add_argument("--json", action="store_true", help="as JSON")
    return parser


def _add_plays(who: argparse._MutuallyExclusiveGroup) -> None:
    options: Any = {"dest": "plays", "action": "extend"}
    about = "plays of anyone, folded in; TRACK alone is one play"
    who.add_argument("--plays", metavar="TRACK=COUNT", nargs="+", type=_play, help=about, **options)
    about = "the same: track, tab, count a line; - standard input"
    who.add_argument("--plays-from", metavar="FILE", type=_plays_of_file, help=about, **options)


def _play(text: str, separator: str = "=", where: str = "") -> tuple[str, int]:
    """A track and its count, which stands after the last separator: `a=b=1`; 1 without any."""
    track, found, count = text.rpartition(separator)
    track, count = (track, count.strip()) if found else (text, "1")
    if not (count.isascii() and count.isdigit() and len(count) <= 18):
        raise MusicRecError(
            f"{where or text}: play count {count[:40]!r} is not a whole number from 1 to 10^18 - 1"
        )
    return track, int(count)


def _plays_of_file(path: str) -> list[tuple[str, int]]:
    lines = enumerate(_lines(path), 1)
    return [_play(line, "\t", f"{path}, line {n}") for n, line in lines if line.strip()]


def _labels(path: str) -> dict[str, str]:
    """Read names of tracks: id in the first column, name in the second, by tabs or commas."""
    lines = _words(path) or [""]
    separator = "\t" if "\t" in lines[0] else ","
    rows = [line.split(separator) for line in lines]
    if len(rows[0]) < 2:
        raise MusicRecError(f"{path}: no names; write an id, a tab or a comma, and a name a line")
    return {row[0]: row[1] for row in rows if len(row) > 1}


def _words(path: str) -> list[str]:
    return [line for line in _lines(path) if line.strip()]


def _lines(path: str) -> list[str]:
    try:
        content = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MusicRecError(f"{path}: not UTF-8 (byte {error.start}); convert it") from None
    except IsADirectoryError:
        raise MusicRecError(f"{path}: a folder, where a file is needed") from None
    return text.replace("\r\n", "\n").split("\n")


def _load(args: argparse.Namespace) -> tuple[Bundle, Labels]:
    """The bundle, and the names of its tracks: those of --labels, else its own."""
    from musicrec.bundle.bundle import load_bundle

    bundle = load_bundle(args.bundle)
    return bundle, bundle.names if args.labels is None else args.labels


def _plays(args: argparse.Namespace, bundle: Bundle, labels: Labels) -> Counter[str]:
    """Play counts by track id; those of one track add up."""
    plays: Counter[str] = Counter()
    for track, count in args.plays:
        plays[_by_name(track, bundle, labels)] += count
    return plays


def _by_name(given: str, bundle: Bundle, labels: Labels) -> str:
    """What is given where it is an id, else the id of the one track so named, if there is one."""
    tracks = bundle.tracks
    if given in tracks:
        return given
    ids = [track for track, name in labels.items() if name == given and track in tracks]
    if len(ids) > 1:
        raise MusicRecError(
            f"{given!r} is the name of {len(ids)} tracks ({', '.join(ids[:5])}); give an id"
        )
    return ids[0] if ids else given


def _print_answer(args: argparse.Namespace, answer: Answer, labels: Labels) -> None:
    """Print recommended tracks; what is not ordinary about them goes to standard error."""
    _note_unknown(answer.unknown)
    if not answer:
        raise MusicRecError(answer.note)
    if answer.note:
        print(f"note: {answer.note}", file=sys.stderr)
    tracks = [_named(asdict(found), found.track_id, labels) for found in answer]
    content = {"tracks": tracks, "source": answer.source, "unknown": list(answer.unknown)}
    column, shown = ("score", "{:.4f}") if answer.source == "factors" else ("listeners", "{:,.0f}")
    rows = []
    for position, found in enumerate(answer, 1):
        time = found.last_played
        played = "" if time is None else f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d}"
        name = labels.get(found.track_id, "")
        rows.append((str(position), found.track_id, name, shown.format(found.score), played))
    _print(args, content, ("", "track", "name", column, "last played"), rows)


def _print(
    args: argparse.Namespace,
    content: dict[str, Any],
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> None:
    """Print content as JSON, or columns, the optional ones where a row has something there."""
    if args.json:
        print(json.dumps(content, indent=2, allow_nan=False))
        return
    keep = [i for i, name in enumerate(header) if name not in OPTIONAL or any(r[i] for r in rows)]
    print(Table([header[i] for i in keep], [[row[i] for i in keep] for row in rows]).text())


def _named(content: dict[str, Any], key: str, labels: Labels) -> dict[str, Any]:
    known = {name: value for name, value in content.items() if value is not None}
    return known | {"name": labels[key]} if key in labels else known


def _note_unknown(unknown: Sequence[str]) -> None:
    if unknown:
        print(f"note: unknown to the model and left out: {', '.join(unknown)}", file=sys.stderr)
