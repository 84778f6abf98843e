"""EASE beside its textbook form and irspack's, on the plays of data/indexed.

    python benchmarks/ease.py --indexed data/indexed --reg 200

    exact     ours: one inverse of the smaller side, in float64
    sparse    ours: each track from its nearest neighbours alone
    numpy     the paper's lines: numpy.linalg.inv(X'X + reg I), in float64
    irspack   DenseSLIMRecommender, in float32 (make setup-bench)

Each method runs in a process of its own, from the plays to the lists of all held-out users. CPU
seconds are user and system time of that, kernels compiled; MB is the peak of the whole process.
Scores are compared for the first users with those of the first method, off their histories.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array, csr_matrix

from musicrec.baselines.ease import recommend_ease, solve, sparse_weights
from musicrec.interactions.held_out import HeldOut, read_held_out
from musicrec.interactions.matrix import Interactions
from musicrec.metrics.ranking import score_lists
from musicrec.params import BaselinesParams
from musicrec.runtime import command

METHODS = ("numpy", "exact", "sparse", "irspack")
K = 100
COMPARED = 200  # users whose scores are compared
LIST_BLOCK = 64


@command
def main() -> None:
    """Print a row a method."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--indexed", type=Path, default=Path("data/indexed"))
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--reg", type=float, default=200.0)
    parser.add_argument("--neighbours", type=int, default=100, help="of the sparse form")
    parser.add_argument("--tracks", type=int, help="only so many, the most frequent")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)  # the folder of one method
    args = parser.parse_args()
    if args.one:
        _measure(args)
        return
    print(f"{'method':8}  {'CPU s':>7}  {'wall s':>7}  {'MB':>6}  nDCG@{K}  largest difference")
    with tempfile.TemporaryDirectory() as folder:
        reference = None
        for method in args.methods:
            row = _in_a_process(method, Path(folder))
            scores = np.load(Path(folder) / f"{method}.npy")
            reference = scores if reference is None else reference
            off = float(np.nanmax(np.abs(scores - reference)))
            print(
                f"{method:8}  {row['cpu']:7.2f}  {row['wall']:7.2f}  {row['mb']:6.0f}  "
                f"{row['ndcg']:8.4f}  {off:.1e}"
            )


def _in_a_process(method: str, folder: Path) -> dict[str, float]:
    """Run this script for one method; its scores lie in the folder afterwards."""
    words = [sys.executable, __file__, *sys.argv[1:], "--methods", method, "--one", str(folder)]
    printed = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    row: dict[str, float] = json.loads(printed.splitlines()[-1])
    return row


def _measure(args: argparse.Namespace) -> None:
    """Time one method and print its figures as JSON; write the scores of the first users."""
    (method,) = args.methods
    held_out = read_held_out(args.indexed, args.split)
    if args.tracks:
        kept = (_most_frequent(plays, args.tracks) for plays in (held_out.train, held_out.history))
        held_out = HeldOut(**(vars(held_out) | dict(zip(("train", "history"), kept, strict=True))))
    params = BaselinesParams(
        neighbours=args.neighbours,
        ease_reg=args.reg,
        ease_exact=0 if method == "sparse" else max(held_out.train.n_users, held_out.train.n_items),
    )
    if method in ("exact", "sparse"):  # compile, on a few of the plays
        some = held_out.train.rows(np.arange(min(64, held_out.train.n_users)))
        recommend_ease(some, some, K, params)
    start, cpu = time.perf_counter(), time.process_time()
    lists, weights = _lists(method, held_out, params)
    figures = {
        "wall": time.perf_counter() - start,
        "cpu": time.process_time() - cpu,
        "mb": peak_mb(),
    }
    judged = score_lists(lists, held_out.truth, [K])
    figures["ndcg"] = float(judged[f"ndcg@{K}"].mean())
    np.save(args.one / f"{method}.npy", _scores(method, held_out, params, weights))
    print(json.dumps(figures))


def peak_mb() -> float:
    """Peak resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1024 if sys.platform == "linux" else 1 << 20
    )


def _lists(
    method: str, held_out: HeldOut, params: BaselinesParams
) -> tuple[np.ndarray, np.ndarray | None]:
    """The best K of every held-out user, who has played none of them; and a peer's matrix B."""
    if method in ("exact", "sparse"):
        return recommend_ease(held_out.train, held_out.history, K, params), None
    weights = _dense_weights(method, held_out.train, params.ease_reg)
    histories = _ones(held_out.history)
    lists = np.empty((held_out.history.n_users, K), np.int32)
    for start in range(0, len(lists), LIST_BLOCK):
        block = histories[start : start + LIST_BLOCK]
        scores = np.asarray(block @ weights)
        scores[block.nonzero()] = -np.inf
        lists[start : start + LIST_BLOCK] = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    return lists, weights


def _most_frequent(plays: Interactions, n: int) -> Interactions:
    """The plays of tracks 0 to n - 1: ids follow the number of plays."""
    kept = _ones(plays)[:, :n]
    return Interactions(
        kept.indptr.astype(np.int64),
        kept.indices.astype(np.int32),
        np.ones(len(kept.indices), np.float32),
        n,
    )


def _dense_weights(method: str, train: Interactions, reg: float) -> np.ndarray:
    """The matrix B of a peer, whole."""
    plays = _ones(train)
    if method == "irspack":
        from irspack.recommenders.dense_slim import DenseSLIMRecommender

        return np.asarray(DenseSLIMRecommender(csr_matrix(plays), reg=reg).learn().W)
    gram = (plays.T @ plays).toarray()
    gram[np.diag_indices_from(gram)] += reg
    inverse = np.linalg.inv(gram)
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights


def _scores(
    method: str, held_out: HeldOut, params: BaselinesParams, weights: np.ndarray | None
) -> np.ndarray:
    """Scores h B of the first users, NaN for what they have played."""
    train = held_out.train
    first = _ones(held_out.history)[:COMPARED]
    if method == "exact":
        solved = solve(train, params.ease_reg)
        columns = _ones(solved.columns)
        scores = (first @ columns).toarray() @ solved.inverse @ columns.T.toarray() * solved.scale
    elif method == "sparse":
        found = sparse_weights(train, np.arange(train.n_items), params)
        matrix = csr_array((found.counts, found.indices, found.indptr), (train.n_items,) * 2)
        scores = (first @ matrix).toarray()
    else:
        scores = np.asarray(first @ weights, np.float64)
    scores[first.nonzero()] = np.nan
    return scores


def _ones(plays: Interactions) -> csr_array:
    """The plays as a 0-1 matrix in float64."""
    shape = (plays.n_users, plays.n_items)
    return csr_array((np.ones(len(plays.indices)), plays.indices, plays.indptr), shape)


if __name__ == "__main__":
    main()
