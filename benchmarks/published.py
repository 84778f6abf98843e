"""Compare our model of the published objective (Rendle et al. 2022) with irspack's.

python benchmarks/published.py --indexed data/indexed --json OUT

Each play counts once, whatever its count. At every rank both engines are fitted from several starts
with the same lambda, nu and alpha0: irspack by its IALSPP loss and exact solver, ours at the
parameters that `mapped` gives, and once more without reg_unobserved, to see what that term does. A
row gives mean and range over the starts of nDCG@100 of the validation users (protocol `ranking`),
and the mean of the published objective, which `published_loss` computes for the factors of either.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from musicrec.als.fit import fit, objective
from musicrec.interactions.held_out import HeldOut, read_held_out
from musicrec.interactions.matrix import Interactions
from musicrec.metrics.ranking import score_lists
from musicrec.params import ALSParams
from musicrec.search.exact import ExactIndex

K = 100


def main() -> None:
    """Fit at every rank from every start; print a row each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--indexed", type=Path, required=True, help="what the index stage wrote")
    parser.add_argument("--rank", type=int, nargs="+", default=[16, 64, 128])
    parser.add_argument("--lambda", dest="reg", type=float, default=0.003)
    parser.add_argument("--nu", type=float, default=1.0)
    parser.add_argument("--alpha0", type=float, default=0.1)
    parser.add_argument("--iterations", type=int, default=16)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--json", type=Path, help="file to write")
    args = parser.parse_args()
    held_out = read_held_out(args.indexed, "validation")
    train = held_out.train
    plays = Interactions(
        train.indptr, train.indices, np.ones(len(train.indices), np.float32), train.n_items
    )
    rows: list[dict[str, Any]] = []
    for rank in args.rank:
        params = mapped(args.reg, args.nu, args.alpha0).replace(
            rank=rank, max_iter=args.iterations, nonnegative=False, solver="cholesky"
        )
        found: dict[str, list[tuple[float, float]]] = {"ours": [], "irspack": [], "without": []}
        for seed in range(args.starts):
            for name, share in (("ours", args.alpha0), ("without", 0.0)):
                model = fit(plays, params.replace(seed=seed, reg_unobserved=share))
                found[name].append(judged(held_out, plays, model.users, model.items, params))
            users, items = irspack(plays, args, rank, seed)
            scale = np.float32(np.sqrt(1 + args.alpha0))  # to our scores; see `mapped`
            found["irspack"].append(judged(held_out, plays, scale * users, scale * items, params))
        rows.append(summary(rank, found))
        print(text(rows[-1]), flush=True)
    if args.json:
        settings = {"lambda": args.reg, "nu": args.nu, "alpha0": args.alpha0}
        report = {"settings": settings, "starts": args.starts, "results": rows}
        args.json.write_text(json.dumps(report, indent=2) + "\n")


def mapped(reg: float, nu: float, alpha0: float) -> ALSParams:
    """Parameters that give the published objective's model, its scores times 1 + alpha0.

    For plays i of user u and all tracks j it is

        sum_i (x.y_i - 1)^2 + alpha0 sum_j (x.y_j)^2 + reg (n + alpha0 N)^nu |x|^2

    summed over users, with the same penalty of tracks. Completing the square and multiplying by
    1 + alpha0 gives ours for factors times sqrt(1 + alpha0).
    """
    return ALSParams(
        alpha=0.0,
        unobserved_weight=alpha0 / (1 + alpha0),
        reg_param=reg,
        reg_exponent=nu,
        reg_unobserved=alpha0,
    )


def published_loss(
    plays: Interactions, users: np.ndarray, items: np.ndarray, params: ALSParams
) -> float:
    """The published objective of factors in our scale, from `musicrec.als.fit.objective`."""
    alpha0 = params.reg_unobserved
    return (objective(plays, users, items, params) + alpha0 * len(plays.indices)) / (1 + alpha0)


def irspack(
    plays: Interactions, args: argparse.Namespace, rank: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Fit irspack with the published loss."""
    from irspack.recommenders import IALSRecommender

    matrix = csr_matrix(
        (plays.counts, plays.indices, plays.indptr), shape=(plays.n_users, plays.n_items)
    )
    model = IALSRecommender(
        matrix,
        n_components=rank,
        alpha0=args.alpha0,
        reg=args.reg,
        nu=args.nu,
        loss_type="IALSPP",
        solver_type="CHOLESKY",
        train_epochs=args.iterations,
        n_threads=len(os.sched_getaffinity(0)),
        random_seed=seed,
    )
    with contextlib.redirect_stdout(io.StringIO()):  # its progress
        model.learn()
    return model.get_user_embedding(), model.get_item_embedding()


def judged(
    held_out: HeldOut, plays: Interactions, users: np.ndarray, items: np.ndarray, params: ALSParams
) -> tuple[float, float]:
    """Mean nDCG@100 of the held-out users, and the published loss."""
    queries = np.zeros((len(held_out.users), users.shape[1]), np.float32)
    known = held_out.users < len(users)
    queries[known] = users[held_out.users[known]]
    history, truth = held_out.history, held_out.truth
    lists, _ = ExactIndex(np.ascontiguousarray(items)).search(
        queries, K, (history.indptr, history.indices)
    )
    ndcg = score_lists(lists, truth, [K])[f"ndcg@{K}"].mean()
    return float(ndcg), published_loss(plays, users, items, params)


def summary(rank: int, found: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    """Mean, least and greatest over the starts of each engine's nDCG and loss."""
    row: dict[str, Any] = {"rank": rank}
    for engine, pairs in found.items():
        for name, values in zip(("ndcg", "loss"), zip(*pairs, strict=True), strict=True):
            row[f"{engine}_{name}"] = float(np.mean(values))
            row[f"{engine}_{name}_range"] = [min(values), max(values)]
    return row


def text(row: dict[str, Any]) -> str:
    """One line of the table."""
    words = [f"rank {row['rank']:4d}"]
    for engine in ("ours", "irspack", "without"):
        low, high = row[f"{engine}_ndcg_range"]
        words.append(
            f"{engine} nDCG@100 {row[f'{engine}_ndcg']:.4f} ({low:.4f} to {high:.4f}) "
            f"loss {row[f'{engine}_loss']:.6g}"
        )
    return "  ".join(words)


if __name__ == "__main__":
    main()
