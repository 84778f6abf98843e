"""Time the judging of top-500 lists beside the search that makes them, and beside ranx.

    python benchmarks/evaluation.py --json OUT
    python benchmarks/evaluation.py --factors item_factors.parquet --queries queries.npy --json OUT

Without factors they are drawn with the skewed norms of a trained model. Held-out users get random
histories and held-out tracks, half of these from their lists. Every step is warmed up (compiled)
and timed in the same process; the ratios are to the search. ranx scores the model's lists alone,
at the same metrics and k, and is timed with and without making its own structures from the arrays.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from musicrec.baselines.neighbours import recommend_neighbours
from musicrec.baselines.popularity import recommend_popular
from musicrec.evaluate.judge import Lists, judge
from musicrec.evaluate.report import plot_rows
from musicrec.interactions.held_out import HeldOut
from musicrec.interactions.matrix import Interactions, from_triples
from musicrec.jit.parallel import thread_count
from musicrec.metrics.ranking import score_lists
from musicrec.params import BaselinesParams, EvaluateParams
from musicrec.search.exact import ExactIndex
from musicrec.storage.parquet import parquet_parts, read_files, write_table

K = EvaluateParams().k


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--factors", type=Path, help="item factors: .npy, or Parquet (a list column)"
    )
    parser.add_argument("--queries", type=Path, help="user factors to draw users from: .npy")
    parser.add_argument("--users", type=int, default=10_000, help="held-out users")
    parser.add_argument("--items", type=int, default=385_000, help="tracks, without --factors")
    parser.add_argument("--rank", type=int, default=20, help="rank, without --factors")
    parser.add_argument(
        "--plays", type=int, default=0, help="also time the baselines on about this many plays"
    )
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    items, queries = _factors(args, rng)
    run(items, queries[:50], rng)  # compiles everything
    seconds = run(items, queries, rng)
    if args.plays:
        seconds |= time_baselines(rng, args.plays, args.users, len(items))
    search = seconds["search"]
    figures = {
        "users": len(queries),
        "items": len(items),
        "rank": items.shape[1],
        "k": list(K),
        "threads": thread_count(),
        "machine": platform.processor() or platform.machine(),
        "seconds": seconds,
        "ratio_to_search": {name: value / search for name, value in seconds.items()},
    }
    print(f"{len(queries):,} users x {len(items):,} tracks, rank {items.shape[1]}, k = {list(K)}")
    for name, value in seconds.items():
        print(f"{name:34} {value:8.3f} s  {value / search:7.3f} x search")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def run(items: np.ndarray, queries: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Time every step once."""
    seconds: dict[str, float] = {}

    def timed(name: str, step: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = step()
        seconds[name] = time.perf_counter() - start
        return result

    params = EvaluateParams()
    n_users, length = len(queries), max(K)
    index = ExactIndex(items)
    history = _random_plays(rng, n_users, len(items), 30)
    exclude = (history.indptr, history.indices)
    unseen, scores = timed("search", lambda: index.search(queries, length, exclude=exclude))
    with_seen, _ = index.search(queries, length)
    held_out = _held_out(rng, history, unseen)
    others = {"popularity": unseen[::-1], "neighbours": with_seen[::-1]}
    lists = Lists(unseen, with_seen, scores, others)
    judged = (unseen, held_out.truth, K)
    timed("metrics of one model", lambda: score_lists(*judged))
    evaluation = timed("metrics of all, per-user table", lambda: judge(held_out, lists, params))
    timed("means, slices and intervals", lambda: plot_rows(evaluation, params))
    with TemporaryDirectory() as folder:
        timed("table to Parquet", lambda: write_table(f"{folder}/table", evaluation.table))
        steps = (step for step in seconds if step not in ("search", "metrics of one model"))
        seconds["judging, all steps"] = sum(seconds[step] for step in steps)
    _time_ranx(judged, timed)
    return seconds


def time_baselines(
    rng: np.random.Generator, n_plays: int, n_held_out: int, n_items: int
) -> dict[str, float]:
    """Time both baselines on long-tailed histories (median 27 tracks, a few of thousands)."""
    lengths = np.clip(rng.lognormal(np.log(27), 0.95, n_plays // 42), 1, 4000).astype(np.int64)
    users = np.repeat(np.arange(len(lengths)), lengths)
    items = (n_items * rng.random(len(users)) ** 4).astype(np.int64)
    train = _interactions(users, items, len(lengths), n_items)
    history = train.rows(np.sort(rng.choice(train.n_users, n_held_out, replace=False)))
    print(f"baselines: {len(train.indices):,} plays of {train.n_users:,} users")
    seconds = {}
    length, neighbours = max(K), BaselinesParams().neighbours
    few = train.rows(np.arange(20))
    recommend_neighbours(few, few, length, neighbours)  # compiles
    recommend_popular(few, few, length)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from here
    before = _memory("VmRSS")
    start = time.perf_counter()
    recommend_popular(train, history, length)
    seconds["popularity lists"] = time.perf_counter() - start
    start = time.perf_counter()
    recommend_neighbours(train, history, length, neighbours)
    seconds["neighbour lists"] = time.perf_counter() - start
    grown = _memory("VmHWM") - before
    print(f"baselines: peak memory grew by {grown / 2**10:.0f} MiB")
    return seconds


def _memory(name: str) -> int:
    """A line of this process's memory figures, in KiB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def _time_ranx(judged: tuple[Any, ...], timed: Callable[[str, Callable[[], Any]], Any]) -> None:
    try:
        import ranx
    except ImportError:
        print("ranx is not installed (make setup-bench), so it is left out")
        return
    recommended, indptr, indices, k = judged
    users = range(len(recommended))

    def make_qrels() -> Any:
        rows = (indices[indptr[u] : indptr[u + 1]].tolist() for u in users)
        return ranx.Qrels(
            {str(u): dict.fromkeys(map(str, row), 1) for u, row in zip(users, rows, strict=True)}
        )

    def make_run() -> Any:
        scores = np.arange(recommended.shape[1], 0, -1.0).tolist()
        rows = (row[row >= 0].tolist() for row in recommended)
        return ranx.Run(
            {
                str(u): dict(zip(map(str, row), scores, strict=False))
                for u, row in zip(users, rows, strict=True)
            }
        )

    names = [f"{metric}@{n}" for metric in ("map", "precision", "recall", "ndcg") for n in k]
    qrels, ranked = timed("ranx: its structures", lambda: (make_qrels(), make_run()))
    found = timed("ranx: metrics of one model", lambda: ranx.evaluate(qrels, ranked, names))
    ours = score_lists(*judged)
    for metric in ("precision", "recall", "ndcg"):  # its MAP divides by the whole truth
        for n in k:
            mean = ours[f"{metric}@{n}"].mean()
            if abs(found[f"{metric}@{n}"] - mean) > 1e-9:
                raise SystemExit(f"{metric}@{n}: ranx {found[f'{metric}@{n}']}, ours {mean}")


def _factors(args: argparse.Namespace, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    if args.factors is None:
        norms = (np.arange(args.items) + 100.0) ** -0.7
        items = rng.gamma(0.5, size=(args.items, args.rank)) * norms[:, None]
        pool = rng.gamma(0.5, size=(2000, args.rank))
    else:
        items = _read_factors(args.factors)
        pool = np.load(args.queries) if args.queries else items[rng.integers(0, len(items), 2000)]
    queries = pool[rng.integers(0, len(pool), args.users)]
    return items.astype(np.float32), queries.astype(np.float32)


def _read_factors(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    table = read_files(parquet_parts(path))
    lists = next(table.column(i) for i, t in enumerate(table.schema.types) if pa.types.is_nested(t))
    return np.stack(lists.to_pylist()).astype(np.float32)


def _random_plays(
    rng: np.random.Generator, n_users: int, n_items: int, n_plays: int
) -> Interactions:
    """About `n_plays` plays a user, popular tracks (low ids) more often."""
    users = np.repeat(np.arange(n_users, dtype=np.int64), n_plays)
    items = (n_items * rng.random(len(users)) ** 4).astype(np.int64)
    return _interactions(users, items, n_users, n_items)


def _interactions(users: np.ndarray, items: np.ndarray, n_users: int, n_items: int) -> Interactions:
    pairs = np.unique(users * n_items + items)
    return from_triples(pairs // n_items, pairs % n_items, np.ones(len(pairs)), n_users, n_items)


def _held_out(rng: np.random.Generator, history: Interactions, lists: np.ndarray) -> HeldOut:
    """Held-out tracks: half of them random plays, half from the user's list."""
    n_users, n_items = history.n_users, history.n_items
    plays = _random_plays(rng, n_users, n_items, 12)
    of_plays = np.repeat(np.arange(n_users), np.diff(plays.indptr))
    of_lists = np.repeat(np.arange(n_users), 12)
    found = lists[of_lists, rng.integers(0, lists.shape[1], len(of_lists))].astype(np.int64)
    users, items = np.append(of_plays, of_lists), np.append(plays.indices, found)
    known = items >= 0
    everyone = np.arange(n_items)
    train = _interactions(
        np.append(np.repeat(np.arange(n_users), np.diff(history.indptr)), everyone % n_users),
        np.append(history.indices, everyone).astype(np.int64),
        n_users,
        n_items,
    )
    return HeldOut(
        split="validation",
        users=np.arange(n_users, dtype=np.int32),
        user_ids=pa.array([f"{u:040x}" for u in range(n_users)]),
        track_ids=pa.array([f"TR{i:016X}" for i in range(n_items)]),
        truth=_interactions(users[known], items[known], n_users, n_items),
        train=train,
        history=history,
        folded_in=False,
    )


if __name__ == "__main__":
    main()
