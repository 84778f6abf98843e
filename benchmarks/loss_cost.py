"""Time native training with and without the loss of every iteration, fits alternating.

python benchmarks/loss_cost.py --rank 20 64 --repeats 3

The plays are those of benchmarks/als.py. Prints the median of each and their ratio.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from als import generate

from musicrec.als.fit import fit
from musicrec.interactions.matrix import from_triples
from musicrec.params import ALSParams


def main() -> None:
    """Fit in turns, for each rank and solver."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=0.2, help="share of its users")
    parser.add_argument("--rank", type=int, nargs="+", default=[20, 64])
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    users, items, counts = generate(args.share)
    plays = from_triples(users, items, counts, int(users.max()) + 1, int(items.max()) + 1)
    for rank in args.rank:
        for solver in ("cholesky", "cg", "nonnegative"):
            params = ALSParams(rank=rank, max_iter=args.iterations).replace(
                nonnegative=solver == "nonnegative",
                solver="auto" if solver == "nonnegative" else solver,
            )
            seconds: dict[bool, list[float]] = {True: [], False: []}
            for repeat in range(args.repeats + 1):
                for track_loss, runs in seconds.items():
                    since = time.perf_counter()
                    fit(plays, params, track_loss=track_loss)
                    if repeat:  # the first may compile
                        runs.append(time.perf_counter() - since)
            tracked, plain = (float(np.median(runs)) for runs in seconds.values())
            print(
                f"rank {rank:3d}  {solver:11s}  with {tracked:6.2f} s  without {plain:6.2f} s  "
                f"ratio {tracked / plain:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
