"""Compare native training with Spark MLlib's on one set of indexed plays: factors, loss, MAP.

python benchmarks/parity.py --indexed data/indexed --json OUT

For every combination of settings: the largest difference of a factor after one iteration from the
same start, as a share of the largest factor; the difference of the objective and of MAP@500
(validation users, protocol `ranking`) after --iterations, beside the 95 % interval of the native
MAP; and how far an exported user factor lies from the fold-in of that user's training plays. Below
the table stands the worst of each column.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np

from musicrec.als.feedback import training_ratings
from musicrec.als.fit import fit, objective
from musicrec.als.fold_in import FoldIn
from musicrec.interactions.held_out import HeldOut, read_held_out
from musicrec.interactions.id_columns import read_sizes
from musicrec.interactions.matrix import Interactions, read_interactions
from musicrec.metrics.intervals import mean_intervals
from musicrec.metrics.ranking import score_lists
from musicrec.params import ALSParams, FeedbackParams
from musicrec.runtime import scratch_directory
from musicrec.search.exact import ExactIndex
from musicrec.spark.session import spark_session
from musicrec.train.mllib import checkpoints, fit_frame, plays_frame

K = 500
FOLDED = 500  # users folded in
SETTINGS = ((5, 0.1, 10.0), (20, 0.1, 10.0), (20, 1.0, 1.0), (20, 10.0, 5.0), (64, 0.1, 1.0))


def main() -> None:
    """Run every combination; print a row each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--indexed", type=Path, required=True, help="what the index stage wrote")
    parser.add_argument("--iterations", type=int, default=15)
    parser.add_argument("--json", type=Path, help="file to write")
    args = parser.parse_args()
    sizes = read_sizes(args.indexed / "sizes.json")
    plays = read_interactions(args.indexed / "train", sizes.n_users, sizes.n_items)
    held_out = read_held_out(args.indexed, "validation")
    rows: list[dict[str, Any]] = []
    with (
        spark_session("parity") as spark,
        checkpoints(spark),
        scratch_directory("parity-") as scratch,
    ):
        for transform in ("none", "log1p"):
            feedback = FeedbackParams(transform=transform)
            ratings = training_ratings(plays, feedback)
            frame = plays_frame(spark, ratings, scratch).cache()
            for nonnegative, (rank, reg, alpha) in itertools.product((False, True), SETTINGS):
                params = ALSParams(
                    rank=rank,
                    reg_param=reg,
                    alpha=alpha,
                    nonnegative=nonnegative,
                    max_iter=args.iterations,
                    solver="cholesky",
                )
                row = compare(frame, ratings, params, held_out)
                rows.append({"transform": transform, "nonnegative": nonnegative, **row})
                print(text(rows[-1]), flush=True)
    worst = {
        name: max(row[name] for row in rows)
        for name in ("one_iteration", "objective", "map_difference", "fold_in")
    }
    print("worst: " + "  ".join(f"{name} {value:.1e}" for name, value in worst.items()))
    if args.json:
        args.json.write_text(json.dumps({"results": rows, "worst": worst}, indent=2) + "\n")


def average_precision(held_out: HeldOut, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Average precision of each held-out user, the tracks of their history excluded."""
    queries = np.zeros((len(held_out.users), users.shape[1]), np.float32)
    known = held_out.users < len(users)
    queries[known] = users[held_out.users[known]]
    history, truth = held_out.history, held_out.truth
    lists, _ = ExactIndex(items).search(queries, K, (history.indptr, history.indices))
    return score_lists(lists, truth, [K])[f"map@{K}"]


def compare(
    frame: Any, ratings: Interactions, params: ALSParams, held_out: HeldOut
) -> dict[str, Any]:
    """Fit with both engines, one iteration and many."""
    shape = ratings.n_users, ratings.n_items
    first = params.replace(max_iter=1)
    spark_first = fit_frame(frame, *shape, first)
    native_first = fit(ratings, first)
    spark_users, spark_items = fit_frame(frame, *shape, params)
    native = fit(ratings, params)
    spark_loss = objective(ratings, spark_users, spark_items, params)
    precision = average_precision(held_out, native.users, native.items)
    interval = mean_intervals({"map": precision}, 1000, 42)["map"]
    other = average_precision(held_out, spark_users, spark_items)
    difference = float(precision.mean() - other.mean())
    return {
        "rank": params.rank,
        "reg_param": params.reg_param,
        "alpha": params.alpha,
        "one_iteration": max(
            relative(native_first.users, spark_first[0]),
            relative(native_first.items, spark_first[1]),
        ),
        "objective": abs(native.losses[-1] / spark_loss - 1),
        "native_loss_over_mllib": native.losses[-1] / spark_loss,
        "map": interval.mean,
        "map_difference": abs(difference),
        "map_half_interval": (interval.high - interval.low) / 2,
        "fold_in": fold_in_error(ratings, native.users, native.items, params),
        "loss_rises": max(
            after / before - 1
            for before, after in zip(native.losses, native.losses[1:], strict=False)
        ),
    }


def relative(a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference as a share of the largest entry."""
    return float(np.abs(a - b).max() / np.abs(b).max())


def fold_in_error(
    ratings: Interactions, users: np.ndarray, items: np.ndarray, params: ALSParams
) -> float:
    """Largest difference between a user factor and the fold-in of the user's plays."""
    some = np.linspace(0, ratings.n_users - 1, FOLDED).astype(int)
    folded = FoldIn(items, params).many(ratings.rows(some))
    return float(np.abs(folded - users[some]).max() / np.abs(users).max())


def text(row: dict[str, Any]) -> str:
    """One line of the table."""
    return (
        f"{row['transform']:5s} {'nonnegative' if row['nonnegative'] else 'signed':11s} "
        f"rank {row['rank']:3d} reg {row['reg_param']:<5} alpha {row['alpha']:<5} "
        f"one iteration {row['one_iteration']:.1e}  objective {row['objective']:.1e}  "
        f"MAP {row['map']:.4f} differs by {row['map_difference']:.1e} "
        f"(interval +- {row['map_half_interval']:.1e})  fold-in {row['fold_in']:.1e}"
    )


if __name__ == "__main__":
    main()
