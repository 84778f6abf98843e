"""Time a bundle beside implicit: load, memory, every question.

    python benchmarks/serving.py --items item_factors.parquet --users 310000

`--items` are item factors, `.npy` or Parquet with one list column. Users get plays drawn by
popularity and are folded in, and the bundle is the export stage's, in `--folder` (kept, and taken
up again) or a temporary one. Each answers in a process of its own with one BLAS thread, as implicit
asks for; questions alternate, each to the same users, one at a time. implicit takes and gives
indices: for questions by ids a dict and a list stand around it. It holds its arrays in memory; the
time it takes to load is that of its own `load`.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from musicrec.bundle import Bundle
    from musicrec.interactions.matrix import Interactions

K = 50
ALPHA, REG = 10.0, 0.1


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--items", required=True, help="item factors: .npy, or Parquet")
    parser.add_argument("--users", type=int, default=310_000)
    parser.add_argument("--queries", type=int, default=100, help="users asked for, a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to keep the bundle")
    parser.add_argument("--json", help="where to write every figure")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = args.folder or Path(scratch)
        if not (folder / "bundle").is_dir():
            from search import read_factors

            build(folder, read_factors(args.items), args.users)
        makers: dict[str, Callable[[Connection, Path], None]] = {"ours": _ours}
        if importlib.util.find_spec("implicit"):
            makers["implicit"] = _implicit
        sides, figures = {}, {}
        for side, make in makers.items():
            sides[side] = stack.enter_context(asked(make, folder))
            figures[side] = sides[side]("facts")  # the next loads when this one has
        users = np.random.default_rng(1).integers(0, args.users, args.queries).tolist()
        for name in QUESTIONS:
            for side, ask in list(sides.items()) * args.rounds:
                if (found := ask((name, users))) is not None:
                    figures[side].setdefault(name, []).append(found)
    table = {side: _summary(values) for side, values in figures.items()}
    _print(table)
    if args.json:
        Path(args.json).write_text(json.dumps(table, indent=2))


QUESTIONS = (
    "recommend",
    "recommend, index",
    "1000 candidates by ids",
    "1000 candidates by index",
    "1000 excluded by index",
    "recommend, diversity",
    "recommend for plays",
    "similar tracks",
    "similar users",
    "explain",
    "recommend, batch",
    "the same, by rules",
    "by rules, and diversity",
)


def build(folder: Path, items: np.ndarray, n_users: int) -> None:
    """Make the inputs of the export stage, and export."""
    from musicrec.als.fold_in import FoldIn
    from musicrec.bundle.write import export_bundle
    from musicrec.interactions.factors import write_factors
    from musicrec.params import ALSParams, ExportParams, FeedbackParams
    from musicrec.storage.files import write_checksums, write_json
    from musicrec.storage.parquet import write_table

    rng = np.random.default_rng(0)
    plays = draw_plays(rng, n_users, len(items))
    als = ALSParams(rank=items.shape[1], alpha=ALPHA, reg_param=REG)
    _say(f"folding in {n_users:,} users with {len(plays.indices):,} plays")
    users = FoldIn(items, als).many(plays)
    write_factors(
        folder / "factors",
        users,
        items,
        {"als": als.model_dump(), "feedback": FeedbackParams().model_dump()},
    )
    rows = np.repeat(np.arange(n_users, dtype=np.int32), np.diff(plays.indptr))
    columns = {"user": rows, "item": plays.indices, "count": plays.counts.astype(np.int64)}
    write_table(folder / "indexed/train/part-00000.parquet", pa.table(columns))
    write_checksums(folder / "indexed/train")
    for name, kind, count in (("users", "user", n_users), ("items", "track", len(items))):
        ids = [f"{kind[:2].upper()}{(i * 7919) % 10_000_019:016d}" for i in range(count)]
        table = {name[:-1]: pa.array(range(count), pa.int32()), f"{kind}_id": ids}
        write_table(folder / f"indexed/{name}.parquet", pa.table(table))
    sizes = {"n_users": n_users, "n_items": len(items)}
    write_json(
        folder / "indexed/sizes.json",
        sizes | {"n_all_users": n_users, "n_all_items": len(items)},
    )
    write_checksums(folder / "indexed")
    _say("exporting")
    start = time.perf_counter()
    export_bundle(folder / "indexed", folder / "factors", folder / "bundle", ExportParams())
    _say(f"exported in {time.perf_counter() - start:.1f} s")


def draw_plays(rng: np.random.Generator, n_users: int, n_items: int) -> Interactions:
    """Plays of about 30 tracks a user, popular tracks more often."""
    from musicrec.interactions.matrix import Interactions

    lengths = np.minimum(rng.geometric(1 / 32, n_users), 1000)
    users = np.repeat(np.arange(n_users, dtype=np.int64), lengths)
    tracks = (n_items * rng.random(len(users)) ** 3).astype(np.int64)
    pairs = np.unique(users * n_items + tracks)
    indptr = np.searchsorted(pairs, np.arange(n_users + 1) * n_items)
    counts = rng.geometric(0.4, len(pairs)).astype(np.float32)
    return Interactions(indptr, (pairs % n_items).astype(np.int32), counts, n_items)


@contextmanager
def asked(answer: Callable[[Connection, Path], None], folder: Path) -> Iterator[Callable[..., Any]]:
    """Start a process that answers; yields what asks it."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=answer, args=(there, folder))
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    process.start()

    def ask(question: object) -> Any:
        here.send(question)
        return here.recv()

    try:
        yield ask
    finally:
        here.send(None)
        process.join()


def _ours(pipe: Connection, folder: Path) -> None:
    from musicrec.bundle import load_bundle

    load_bundle(folder / "bundle").recommend_many([])  # compiles everything
    before = _memory()
    start = time.process_time()
    seconds = [_timed(load_bundle, folder / "bundle") for _ in range(5)]
    on_cpu = (time.process_time() - start) / len(seconds)
    facts = {"load": min(seconds), "load, CPU": on_cpu}
    bundle = load_bundle(folder / "bundle")
    names = list(bundle.users)
    tracks = list(bundle.tracks)
    plays = bundle.plays
    candidates = tracks[1000:2000]
    known = bundle.tracks.indices(candidates)

    def heard(user: int) -> dict[str, int]:
        row = slice(*plays.indptr[user : user + 2])
        return {tracks[i]: int(c) for i, c in zip(plays.indices[row], plays.counts[row])}  # noqa: B905

    best = {user: bundle.recommend(names[user], 1)[0].track_id for user in range(2000)}
    questions: dict[str, Callable[[int], object]] = {
        "recommend": lambda u: bundle.recommend(names[u], K),
        "recommend, index": lambda u: bundle.recommend(names[u], K, search_k=5000),
        "1000 candidates by ids": lambda u: bundle.recommend(names[u], K, candidates=candidates),
        "1000 candidates by index": lambda u: bundle.recommend(names[u], K, candidates=known),
        "1000 excluded by index": lambda u: bundle.recommend(names[u], K, exclude=known),
        "recommend, diversity": lambda u: bundle.recommend(names[u], K, diversity=0.3),
        "recommend for plays": lambda u: bundle.recommend_for_plays(heard(u), K),
        "similar tracks": lambda u: bundle.similar_tracks(tracks[u], K),
        "similar users": lambda u: bundle.similar_users(names[u], K),
        "explain": lambda u: bundle.explain(names[u % 2000], best[u % 2000]),
    }
    batches: dict[str, Callable[[list[int]], object]] = {
        "recommend, batch": lambda users: bundle.recommend_many([names[u] for u in users], K),
    }
    batches["the same, by rules"] = _by_rules(bundle, names, tracks)
    batches["by rules, and diversity"] = _by_rules(bundle, names, tracks, diversity=0.3)
    _serve(
        pipe,
        questions,
        batches,
        lambda: facts | {"memory": _memory(before)},
    )


def _by_rules(
    bundle: Bundle, names: list[str], tracks: list[str], **more: float
) -> Callable[[list[int]], object]:
    """At most two tracks of each of 40,000 groups, 1,000 excluded, ten of each user, a score."""
    from musicrec.bundle.recommend import Recommender
    from musicrec.search.exact import ExactIndex

    groups = np.random.default_rng(2).integers(0, 40_000, len(tracks)).astype(np.int32)
    recommender = Recommender(
        ExactIndex(bundle.item_factors), None, bundle.arrays["listeners"], groups
    )
    arrays = {**bundle.arrays, "track_groups": groups}
    grouped = dataclasses.replace(bundle, arrays=arrays, recommender=recommender)
    rules: Any = {"exclude": tracks[500:1500], "max_per_group": 2, "min_score": 1e-6, **more}

    def ask(users: list[int]) -> object:
        not_for = {names[u]: tracks[u % 1000 : u % 1000 + 10] for u in users}
        return grouped.recommend_many([names[u] for u in users], K, exclude_for=not_for, **rules)

    return ask


def _implicit(pipe: Connection, folder: Path) -> None:
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    arrays = {
        name: np.load(folder / f"bundle/{name}.npy")
        for name in ("user_factors", "item_factors", "seen_indptr", "seen_indices", "seen_counts")
    }
    model = AlternatingLeastSquares(
        factors=arrays["item_factors"].shape[1], regularization=REG, alpha=ALPHA
    )
    model.user_factors, model.item_factors = arrays["user_factors"], arrays["item_factors"]
    path = folder / "implicit.npz"
    model.save(path)
    del model
    before = _memory()
    start = time.process_time()
    seconds = [_timed(lambda: AlternatingLeastSquares.load(path)) for _ in range(3)]
    on_cpu = (time.process_time() - start) / len(seconds)
    model = AlternatingLeastSquares.load(path)
    shape = (len(arrays["user_factors"]), len(arrays["item_factors"]))
    seen = csr_matrix(
        (ALPHA * arrays["seen_counts"], arrays["seen_indices"], arrays["seen_indptr"]), shape
    )
    candidates = np.arange(1000, 2000)
    tracks = pq.read_table(folder / "bundle/items.parquet").column("track_id").to_pylist()
    position = {track: item for item, track in enumerate(tracks)}

    def by_ids(user: int) -> list[str]:
        """What a service does around implicit, which takes and gives indices."""
        items = [position[track] for track in tracks[1000:2000]]
        return [tracks[item] for item in model.recommend(user, seen[user], K, items=items)[0]]

    best = {user: int(model.recommend(user, seen[user], 1)[0][0]) for user in range(200)}
    questions: dict[str, Callable[[int], object]] = {
        "recommend": lambda u: model.recommend(u, seen[u], K),
        "1000 candidates by ids": by_ids,
        "1000 candidates by index": lambda u: model.recommend(u, seen[u], K, items=candidates),
        "1000 excluded by index": lambda u: model.recommend(u, seen[u], K, filter_items=candidates),
        "recommend for plays": lambda u: model.recommend(0, seen[u], K, recalculate_user=True),
        "similar tracks": lambda u: model.similar_items(u, K),
        "similar users": lambda u: model.similar_users(u, K),
        "explain": lambda u: model.explain(u % 200, seen, best[u % 200]),
    }
    _serve(
        pipe,
        questions,
        {"recommend, batch": lambda users: model.recommend(np.array(users), seen[users], K)},
        lambda: {"load": min(seconds), "load, CPU": on_cpu, "memory": _memory(before)},
    )


def _serve(
    pipe: Connection,
    questions: dict[str, Callable[[int], object]],
    batches: dict[str, Callable[[list[int]], object]],
    facts: Callable[[], dict[str, float]],
) -> None:
    """Answer until None comes; each answer to a question is a list of seconds."""
    for message in iter(pipe.recv, None):
        if message == "facts":
            pipe.send(facts())
            continue
        name, users = message
        if name in batches:
            batches[name](users[:10])
            pipe.send([_timed(batches[name], users) / len(users)])
        elif name in questions:
            for user in users[:10]:
                questions[name](user)
            pipe.send([_timed(questions[name], user) for user in users])
        else:
            pipe.send(None)


def _timed(work: Callable[..., object], *args: object) -> float:
    start = time.perf_counter()
    work(*args)
    return time.perf_counter() - start


def _memory(before: float = 0.0) -> float:
    """MiB that belong to this process alone: mapped files, which processes share, are not."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) / 1024 - before
    return float("nan")


def _summary(values: dict[str, Any]) -> dict[str, Any]:
    """Medians and 99th percentiles of the best round, in microseconds."""
    shown: dict[str, Any] = {}
    for name, found in values.items():
        if isinstance(found, list):
            best = min(found, key=np.median)
            shown[name] = dict(
                zip(("p50", "p99"), np.percentile(best, (50, 99)) * 1e6, strict=True)
            )
        else:
            shown[name] = found
    return shown


def _print(table: dict[str, Any]) -> None:
    print(f"{'':28}" + "".join(f"{side:>22}" for side in table))
    for name in ("load", "load, CPU", "memory"):
        unit = "MiB" if name == "memory" else "s"
        cells = (f"{side[name]:.3f} {unit}" if name in side else "-" for side in table.values())
        print(f"{name:28}" + "".join(f"{cell:>22}" for cell in cells))
    print(f"\nmicroseconds, p50 and p99; k = {K}")
    for name in QUESTIONS:
        cells = (
            f"{side[name]['p50']:,.0f}  {side[name]['p99']:,.0f}" if name in side else "-"
            for side in table.values()
        )
        print(f"{name:28}" + "".join(f"{cell:>22}" for cell in cells))


def _say(step: str) -> None:
    print(step, file=sys.stderr)


if __name__ == "__main__":
    from musicrec.runtime import command

    sys.exit(command(main)())
