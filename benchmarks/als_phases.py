"""Where an iteration by conjugate gradients spends its time, and what reading plays costs at least.

    python benchmarks/als_phases.py --share 0.2 --rank 64 128 256 512 1024

On the synthetic matrix of benchmarks/als.py, in the third iteration, users and tracks together:
the Gram matrices, their eigenvectors, turning both factor tables, and the steps. Beside these, how
long it takes to copy the factors of every play once and do nothing with them, and to copy rows half
as long: what the second is quicker by is the most that factors in half precision could save in
fetching. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from als import generate

from musicrec.als import half_step
from musicrec.als.conjugate_gradients import AHEAD
from musicrec.als.fit import start_users
from musicrec.als.half_step import HalfStep, in_whole_vectors
from musicrec.als.lanes import LANES, aligned, load, prefetch, store
from musicrec.als.problem import CACHE_LINE
from musicrec.interactions.matrix import Interactions, from_triples
from musicrec.jit.kernel import kernel
from musicrec.jit.parallel import blocks, for_blocks
from musicrec.params import ALSParams

PHASES = ("gram", "eigenbasis", "rotate")
ITERATIONS = 3
BLOCKS = 96
HELD = 64  # rows that the copies go to by turns: they stay in a cache


def main() -> None:
    """Measure every rank and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=0.2, help="share of the original's users")
    parser.add_argument("--rank", type=int, nargs="+", default=[64, 128, 256, 512, 1024])
    args = parser.parse_args()
    users, items, counts = generate(args.share)
    n_users, n_items = int(users.max()) + 1, int(items.max()) + 1
    plays = from_triples(users, items, counts, n_users, n_items)
    print(f"{len(counts):,} plays, {n_users:,} users, {n_items:,} tracks\n")
    header = ("rank", "iteration, s", *PHASES, "steps", "copying alone", "half of it")
    print(f"| {' | '.join(header)} |\n|{'---:|' * len(header)}")
    for rank in args.rank:
        seconds = iteration(plays, rank)
        copying = [copy_seconds(plays, width) for width in (rank, rank // 2)]
        cells = [*(f"{seconds[name]:.2f}" for name in ("all", *PHASES, "steps"))]
        print(f"| {rank} | {' | '.join([*cells, *(f'{s:.2f}' for s in copying)])} |", flush=True)


def iteration(plays: Interactions, rank: int) -> dict[str, float]:
    """Seconds of the phases of the last of some iterations."""
    params = ALSParams(rank=rank, reg_param=0.1, alpha=10.0)
    user_rows, item_rows = HalfStep(plays, params), HalfStep(plays.transpose(), params)
    users = in_whole_vectors(start_users(plays, params))
    items = in_whole_vectors(np.zeros((plays.n_items, rank), np.float32))
    seconds: dict[str, float] = {}
    kept = {name: getattr(half_step, name) for name in PHASES}
    for name, function in kept.items():
        setattr(half_step, name, timed(function, name, seconds))
    try:
        for _ in range(ITERATIONS):
            seconds.update(dict.fromkeys(PHASES, 0.0))
            since = time.perf_counter()
            item_rows.improve(users, items)
            user_rows.improve(items, users)
            seconds["all"] = time.perf_counter() - since
    finally:
        for name, function in kept.items():
            setattr(half_step, name, function)
    seconds["steps"] = seconds["all"] - sum(seconds[name] for name in PHASES)
    return seconds


def timed(function: Callable[..., Any], name: str, seconds: dict[str, float]) -> Callable[..., Any]:
    """Add the time that calls of a function take."""

    def call(*args: Any, **kwargs: Any) -> Any:
        since = time.perf_counter()
        result = function(*args, **kwargs)
        seconds[name] += time.perf_counter() - since
        return result

    return call


def copy_seconds(plays: Interactions, rank: int) -> float:
    """Seconds to copy `rank` float32 of every play, once for its user and once for its track."""
    rank = -(-rank // LANES) * LANES
    whole = 0.0
    for rows in (plays, plays.transpose()):
        table = aligned(rows.n_items * rank, np.float32)
        table[:] = 1.0
        bounds = blocks(rows.n_users, -(-rows.n_users // BLOCKS))

        def work(
            start: int, stop: int, rows: Interactions = rows, table: np.ndarray = table
        ) -> None:
            buffer = aligned(HELD * rank, np.float32)
            _copy(table, rows.indices[rows.indptr[start] : rows.indptr[stop]], rank, buffer)

        work(0, 1)  # compiled
        since = time.perf_counter()
        for_blocks(work, bounds)
        whole += time.perf_counter() - since
    return whole


@kernel(allocates=False)
def _copy(table, indices, rank, buffer):  # type: ignore[no-untyped-def]
    """Copy one row of the table after the other, as the solver does."""
    for p in range(len(indices)):
        if p + AHEAD < len(indices):
            ahead = np.int64(indices[p + AHEAD]) * rank
            for line in range(0, rank, CACHE_LINE):
                prefetch(table, ahead + line)
        source = np.int64(indices[p]) * rank
        to = (p & (HELD - 1)) * rank
        for k in range(0, rank, LANES):
            store(buffer, to + k, load(table, source + k))


if __name__ == "__main__":
    main()
