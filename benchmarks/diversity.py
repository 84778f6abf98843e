"""What diversity and a limit on groups cost: nDCG of held-out users, by evaluate's own code.

    python benchmarks/diversity.py --bundle data/bundle --indexed data/indexed --k 10

Beside it, how alike the tracks of a list are: the mean cosine of the factors of two of them. Users
without factors are in no mean. Limits on groups are measured where the bundle has groups.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from musicrec.bundle import load_bundle
from musicrec.bundle.query import Options
from musicrec.interactions.held_out import read_held_out
from musicrec.metrics.ranking import score_lists
from musicrec.runtime import command

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7)
LIMITS = (1, 2, 3, 5)


@command
def main() -> None:
    """Print a row a weight and a limit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--bundle", default="data/bundle")
    parser.add_argument("--indexed", type=Path, default=Path("data/indexed"))
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--k", type=int, default=10)
    args = parser.parse_args()
    bundle = load_bundle(args.bundle)
    held_out = read_held_out(args.indexed, args.split)
    rows = np.flatnonzero(held_out.users < len(bundle.users))
    rows = rows[bundle.user_factors[held_out.users[rows]].any(axis=1)]
    truth, history = held_out.truth.rows(rows), held_out.history.rows(rows)
    vectors = bundle.user_factors[held_out.users[rows]]
    rules: list[Options] = [{"diversity": weight} for weight in WEIGHTS]
    if bundle.groups is not None:
        rules += [{"max_per_group": limit} for limit in LIMITS]
    print(f"{len(rows)} users\n{'rule':20}  ndcg@{args.k}  of plain  mean cosine")
    plain = None
    for rule in rules:
        lists = np.full((len(rows), args.k), -1, np.int32)
        query = bundle.query(args.k, **rule)
        for row, (ids, _) in enumerate(bundle.recommender.many(vectors, query, history)):
            lists[row, : len(ids)] = ids
        ndcg = float(score_lists(lists, truth, [args.k])[f"ndcg@{args.k}"].mean())
        plain = ndcg if plain is None else plain
        cosine = np.mean([_mean_cosine(bundle.item_factors[row[row >= 0]]) for row in lists])
        ((name, value),) = rule.items()
        print(f"{f'{name}={value}':20}  {ndcg:7.4f}  {ndcg / plain:8.3f}  {cosine:11.3f}")


def _mean_cosine(factors: np.ndarray) -> float:
    """Mean cosine of two different rows; 0 for fewer than two."""
    if len(factors) < 2:
        return 0.0
    unit = factors / np.linalg.norm(factors, axis=1, keepdims=True)
    n = len(unit)
    return float((np.square(unit.sum(axis=0)).sum() - n) / (n * (n - 1)))


if __name__ == "__main__":
    sys.exit(main())
