"""The serving commands: `musicrec recommend`, `similar`, `explain`, `verify` and `publish`.

Exit codes: 0 an answer, 1 none (one sentence says why), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from musicrec.errors import MusicRecError
from musicrec.params import near

if TYPE_CHECKING:
    from musicrec.bundle.bundle import Bundle

    Commands = argparse._SubParsersAction["IdParser"]

LISTS = ("--plays", "--candidates", "--exclude")
_MISTYPED = re.compile(r"argument COMMAND: invalid choice: '([^']*)' \(choose from (.*)\)")
ID_OPTIONS = ("--user", "--track", *LISTS)


class SentenceParser(argparse.ArgumentParser):
    """A parser that answers wrong usage with one sentence."""

    def error(self, message: str) -> NoReturn:
        """Leave with exit code 2."""
        if mistyped := _MISTYPED.match(message):
            known = re.findall(r"[\w-]+", mistyped[2])
            message = f"there is no command {mistyped[1]}{near(mistyped[1], known)}"
        self.exit(2, f"error: {message}; `{self.prog} --help` lists what there is\n")


class IdParser(SentenceParser):
    """A parser whose options of ids take the next words as they are, dashes and all."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse, with every word of an option of ids bound to it: `--user -x` is `--user=-x`."""
        words = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(self._bound(words), namespace)

    def _bound(self, words: list[str]) -> list[str]:
        bound: list[str] = []
        option: str | None = None
        for word in words:
            known = self._option_string_actions
            if word.partition("=")[0] in known or (word[:2] == "-k" and word[2:].isdigit()):
                option = word if word in ID_OPTIONS and word in known else None
                bound.append(word)
            elif option is not None:
                if bound[-1] == option:
                    bound.pop()
                bound.append(f"{option}={word}")
                option = option if option in LISTS else None
            else:
                self._require_known(word.partition("=")[0])
                bound.append(word)
        return bound

    def _require_known(self, option: str) -> None:
        known = self._option_string_actions
        if option[:2] == "--" != option and not any(name.startswith(option) for name in known):
            self.error(f"there is no option {option}{near(option, known)}")


def add_recommend(commands: Commands) -> None:
    """Recommend tracks to a known user, to anyone whose plays are given, or to all users."""
    parser = commands.add_parser(
        "recommend", help=add_recommend.__doc__, description=add_recommend.__doc__
    )
    _add_common(parser)
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--user", metavar="ID", help="a user of the training plays")
    _add_plays(who)
    who.add_argument("--all", action="store_true", help="every user, to the file of --output")
    parser.add_argument("--with-seen", action="store_true", help="allow tracks already played")
    ids = {"metavar": "ID", "nargs": "+", "action": "extend"}
    parser.add_argument("--candidates", help="recommend nothing but these tracks", **ids)  # type: ignore[arg-type]
    parser.add_argument("--exclude", help="never recommend these tracks", **ids)  # type: ignore[arg-type]
    parser.add_argument(
        "--search-k", metavar="NODES", type=int, help="search the Annoy index (default: exact)"
    )
    parser.add_argument(
        "--diversity", type=float, default=0.0, help="0 to 1, against the score (%(default)s)"
    )
    parser.add_argument("--output", metavar="FILE", help="with --all: Parquet file to write")
    parser.add_argument(
        "--engine",
        choices=("native", "spark"),
        default="native",
        help="with --all: in process, or on Spark's executors (%(default)s)",
    )
    parser.set_defaults(run=run_recommend, usage_error=parser.error)


def run_recommend(args: argparse.Namespace) -> None:
    """Print the tracks, or write those of all users."""
    from musicrec.bundle.commands.tell import tell_answer

    if args.all:
        _run_all(args)
        return
    if args.output is not None:
        args.usage_error("--output goes with --all")
    bundle, labels = _load(args), _labels(args)
    options = {
        "exclude_seen": not args.with_seen,
        "candidates": _tracks(args.candidates, bundle, labels),
        "exclude": _tracks(args.exclude, bundle, labels),
        "search_k": args.search_k,
        "diversity": args.diversity,
    }
    if args.user is not None:
        answer = bundle.recommend(args.user, args.k, **options)  # type: ignore[arg-type]
    else:
        plays = _plays(args, bundle, labels)
        answer = bundle.recommend_for_plays(plays, args.k, **options)  # type: ignore[arg-type]
    tell_answer(answer, labels, args.json)


def _run_all(args: argparse.Namespace) -> None:
    from musicrec.bundle.everyone.in_process import recommend_all, written

    if args.output is None:
        args.usage_error("--all needs --output FILE")
    if args.candidates or args.exclude or args.search_k is not None or args.diversity:
        args.usage_error("--all takes -k and --with-seen, no other choice of tracks")
    model = _load(args).model
    if args.engine == "native":
        recommend_all(model, args.output, args.k, not args.with_seen, _progress)
    else:
        from musicrec.bundle.everyone.on_spark import recommend_all_on_spark
        from musicrec.spark.session import spark_session

        with spark_session("recommend") as spark:
            recommend_all_on_spark(spark, model, args.output, args.k, not args.with_seen)
    print(written(args.output, len(model.users), args.k))


def add_similar(commands: Commands) -> None:
    """Find the tracks most like a track, or the users most like a user."""
    parser = commands.add_parser(
        "similar", help=add_similar.__doc__, description=add_similar.__doc__
    )
    _add_common(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--track", metavar="ID", help="a track of the training plays")
    what.add_argument("--user", metavar="ID", help="a user of the training plays")
    parser.set_defaults(run=run_similar)


def run_similar(args: argparse.Namespace) -> None:
    """Print the neighbours and their cosine."""
    from musicrec.bundle.commands.plays import by_name
    from musicrec.bundle.commands.tell import tell_neighbours

    bundle, labels = _load(args), _labels(args)
    if args.track is not None:
        found = bundle.similar_tracks(by_name(args.track, bundle.tracks, labels), args.k)
        tell_neighbours(found, "track", labels, args.json)
    else:
        tell_neighbours(bundle.similar_users(args.user, args.k), "user", {}, args.json)


def add_explain(commands: Commands) -> None:
    """Say which plays carried the score of a track."""
    parser = commands.add_parser(
        "explain", help=add_explain.__doc__, description=add_explain.__doc__
    )
    _add_common(parser)
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--user", metavar="ID", help="a user of the training plays")
    _add_plays(who)
    parser.add_argument("--track", metavar="ID", required=True, help="the track to explain")
    parser.set_defaults(run=run_explain)


def run_explain(args: argparse.Namespace) -> None:
    """Print the largest parts, and the score they sum to."""
    from musicrec.bundle.commands.plays import by_name
    from musicrec.bundle.commands.tell import tell_explanation

    bundle, labels = _load(args), _labels(args)
    track = by_name(args.track, bundle.tracks, labels)
    if args.user is not None:
        why = bundle.explain(args.user, track)
    else:
        why = bundle.explain_for_plays(_plays(args, bundle, labels), track)
    tell_explanation(why, max(0, args.k), labels, args.json)


def add_verify(commands: Commands) -> None:
    """Check a bundle: every file's hash, every number that is followed, the sentinel answers."""
    parser = commands.add_parser("verify", help=add_verify.__doc__, description=add_verify.__doc__)
    parser.add_argument("--bundle", default="data/bundle", help="exported model (%(default)s)")
    parser.set_defaults(run=run_verify)


def run_verify(args: argparse.Namespace) -> None:
    """Print what is in a sound bundle."""
    from musicrec.bundle.bundle import load_bundle

    bundle = load_bundle(args.bundle, verify=True)
    manifest = bundle.manifest
    size = sum(file.bytes for file in manifest.files.values())
    print(
        f"{args.bundle}: sound; {len(bundle.users):,} users, {len(bundle.tracks):,} tracks, "
        f"rank {manifest.sizes.rank}, {manifest.sizes.n_plays:,} plays; "
        f"{len(manifest.files)} files of {size:,} bytes, "
        f"{len(manifest.sentinels)} sentinel users answered"
    )


def add_publish(commands: Commands) -> None:
    """Copy a bundle for others, with its metrics, git revision and a model card."""
    parser = commands.add_parser(
        "publish", help=add_publish.__doc__, description=add_publish.__doc__
    )
    parser.add_argument("output", metavar="FOLDER", help="folder to write")
    parser.add_argument("--bundle", default="data/bundle", help="exported model (%(default)s)")
    parser.add_argument(
        "--project", default=".", help="checkout with metrics/ and dvc.lock (%(default)s)"
    )
    parser.set_defaults(run=run_publish)


def run_publish(args: argparse.Namespace) -> None:
    """Write the copy."""
    from musicrec.baselines.lists import model_title
    from musicrec.bundle.publishing.publish import publish

    unbeaten = [model_title(name) for name in publish(args.bundle, args.project, args.output)]
    print(f"{args.output}: published")
    if unbeaten:
        print(
            f"warning: the model is not shown to beat {', '.join(unbeaten)}; its card says so",
            file=sys.stderr,
        )


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", default="data/bundle", help="exported model (%(default)s)")
    parser.add_argument("-k", type=int, default=10, help="how many (%(default)s)")
    parser.add_argument(
        "--labels",
        metavar="FILE",
        help="names, which may stand for ids: id and name a line, TSV or CSV",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def _add_plays(who: argparse._MutuallyExclusiveGroup) -> None:
    who.add_argument(
        "--plays",
        metavar="TRACK=COUNT",
        nargs="+",
        action="extend",
        help="plays of anyone, folded in; TRACK alone is one play",
    )
    who.add_argument(
        "--plays-from", metavar="FILE", help="the same: track, tab, count a line; - standard input"
    )


def _plays(args: argparse.Namespace, bundle: Bundle, labels: dict[str, str]) -> dict[str, int]:
    from musicrec.bundle.commands.plays import parse_plays, plays_by_name, read_plays

    plays = parse_plays(args.plays) if args.plays else read_plays(args.plays_from)
    return plays_by_name(plays, bundle.tracks, labels)


def _tracks(given: list[str] | None, bundle: Bundle, labels: dict[str, str]) -> list[str] | None:
    from musicrec.bundle.commands.plays import by_name

    return None if given is None else [by_name(one, bundle.tracks, labels) for one in given]


def _labels(args: argparse.Namespace) -> dict[str, str]:
    from musicrec.bundle.commands.plays import read_labels

    return {} if args.labels is None else read_labels(args.labels)


def _load(args: argparse.Namespace) -> Bundle:
    from musicrec.bundle.bundle import load_bundle

    if args.k < 0:
        raise MusicRecError(f"k is {args.k}, not a whole number of at least 0")
    return load_bundle(args.bundle)


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\rrecommended to {done:,} of {total:,} users", end=end, file=sys.stderr, flush=True)
