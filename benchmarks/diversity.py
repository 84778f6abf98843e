"""What a diverse list costs: nDCG of held-out users, by evaluate's own code, against likeness.

    python benchmarks/diversity.py --bundle data/bundle --indexed data/indexed --k 10

Likeness is the mean cosine of the factors of two tracks of one list. Users without factors are in
no mean.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from musicrec.bundle import load_bundle
from musicrec.bundle.query import checked_query
from musicrec.interactions.held_out import read_held_out
from musicrec.metrics.ranking import score_lists
from musicrec.runtime import command

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7)


@command
def main() -> None:
    """Print a row a weight."""
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
    queries = bundle.user_factors[held_out.users[rows]]
    print(f"{len(rows)} users\ndiversity  ndcg@{args.k}  of plain  likeness")
    plain = None
    for weight in WEIGHTS:
        query = checked_query(bundle.tracks, args.k, {"diversity": weight})
        lists = np.full((len(rows), args.k), -1, np.int32)
        for row, (ids, _) in enumerate(bundle.recommender.many(queries, query, history)):
            lists[row, : len(ids)] = ids
        scores = score_lists(lists, truth.indptr, truth.indices, [args.k])
        ndcg = float(scores["ndcg"].mean())
        plain = ndcg if plain is None else plain
        likeness = np.mean([_likeness(bundle.item_factors[row[row >= 0]]) for row in lists])
        print(f"{weight:9.1f}  {ndcg:10.4f}  {ndcg / plain:8.3f}  {likeness:8.3f}")


def _likeness(factors: np.ndarray) -> float:
    """Mean cosine of two different rows; 0 for fewer than two."""
    if len(factors) < 2:
        return 0.0
    unit = factors / np.linalg.norm(factors, axis=1, keepdims=True)
    n = len(unit)
    return float((np.square(unit.sum(axis=0)).sum() - n) / (n * (n - 1)))


if __name__ == "__main__":
    sys.exit(main())
