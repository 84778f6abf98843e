"""Compare an updated bundle with the old one and with training anew, on held-out users.

    python benchmarks/update.py [--indexed data/indexed] [--factors data/factors] [--of users]

The training plays lose a tenth: the last ones where they have times, else a random tenth, or all
plays of a random tenth of the users. A bundle is trained on the rest, `musicrec update` adds the
tenth to it, and another bundle is trained on all. Each ranks all tracks but those of the whole
history of a held-out user. Then a bundle of half of the plays gets the other half in ten updates.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.als.feedback import training_ratings
from musicrec.als.fit import fit
from musicrec.bundle import Bundle, load_bundle
from musicrec.bundle.update import update
from musicrec.bundle.write import Contents, write_bundle
from musicrec.interactions.factors import TRAINED_WITH
from musicrec.interactions.held_out import HeldOut, read_held_out
from musicrec.interactions.matrix import Interactions, from_triples
from musicrec.metrics.ranking import score_lists
from musicrec.params import ALSParams, ExportParams, FeedbackParams, trained_with
from musicrec.runtime import command
from musicrec.search.exact import ExactIndex
from musicrec.storage.files import read_json
from musicrec.storage.parquet import parquet_parts, read_files

CUTS = [10, 100]


@command
def main() -> None:
    """Print nDCG and seconds, a row a bundle."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--indexed", type=Path, default=Path("data/indexed"))
    parser.add_argument("--factors", type=Path, default=Path("data/factors"))
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--of", choices=("plays", "users"), default="plays")
    parser.add_argument("--rounds", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--updates", type=int, default=10)
    args = parser.parse_args()
    held_out = read_held_out(args.indexed, args.split)
    about = read_json(args.factors / TRAINED_WITH)
    order = _order(args.indexed, held_out.train, args.of)
    n = len(order)
    print(f"{len(held_out.users)} users\n{'bundle':26}" + "".join(f"  ndcg@{k:<4}" for k in CUTS))
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        old, new = order[: n * 9 // 10], order[n * 9 // 10 :]
        train(held_out.train, np.sort(old), about, root / "old")
        judge("without the tenth", root / "old", held_out)
        for rounds in args.rounds:
            seconds = add(held_out.train, new, root / "old", root / "new", rounds)
            judge(f"updated, {rounds} rounds", root / "new", held_out, seconds)
        seconds = train(held_out.train, np.sort(order), about, root / "all")
        judge("trained anew", root / "all", held_out, seconds)
        if not args.updates:
            return
        known = n // 2
        train(held_out.train, np.sort(order[:known]), about, root / "chain")
        judge("half of the plays", root / "chain", held_out)
        for number in range(1, args.updates + 1):
            until = n // 2 + (n - n // 2) * number // args.updates
            add(held_out.train, order[known:until], root / "chain", root / "chain", args.rounds[0])
            known = until
            judge(f"after {number} updates", root / "chain", held_out)
            train(held_out.train, np.sort(order[:known]), about, root / "anew")
            judge("  trained anew", root / "anew", held_out)


def _order(indexed: Path, train: Interactions, of: str) -> np.ndarray:
    """All plays, the earlier first where they have times; else in a random order."""
    parts = parquet_parts(indexed / "train")
    draw = np.random.default_rng(0)
    users = train.user_of_each()
    if of == "users":
        return np.argsort(draw.permutation(train.n_users)[users], kind="stable")
    if "last_played" not in pq.read_schema(parts[0]).names:
        return draw.permutation(len(users))
    table = read_files(parts, ["user", "item", "last_played"])
    rows = np.lexsort((table.column("item"), table.column("user")))
    return np.argsort(table.column("last_played").to_numpy()[rows], kind="stable")


def train(plays: Interactions, chosen: np.ndarray, about: dict, folder: Path) -> float:
    """Train on some of the plays and write a bundle; seconds."""
    start = time.perf_counter()
    users, rows = np.unique(plays.user_of_each()[chosen], return_inverse=True)
    items, columns = np.unique(plays.indices[chosen], return_inverse=True)
    matrix = from_triples(
        rows.astype(np.int32),
        columns.astype(np.int32),
        plays.counts[chosen],
        len(users),
        len(items),
    )
    als = trained_with(about["als"], ALSParams)
    factors = fit(training_ratings(matrix, trained_with(about["feedback"], FeedbackParams)), als)
    ids = (pa.array(users.astype(str).tolist()), pa.array(items.astype(str).tolist()))
    contents = Contents(factors.users, factors.items, matrix, None, *ids, {})
    write_bundle(folder, contents, ExportParams(), {**about, "data": {}})
    return time.perf_counter() - start


def add(plays: Interactions, chosen: np.ndarray, bundle: Path, out: Path, rounds: int) -> float:
    """Update a bundle with some of the plays; seconds."""
    table = pa.table(
        {
            "user_id": pa.array(plays.user_of_each()[chosen]).cast(pa.string()),
            "track_id": pa.array(plays.indices[chosen]).cast(pa.string()),
            "count": pa.array(plays.counts[chosen].astype(np.int64)),
        }
    )
    start = time.perf_counter()
    update(load_bundle(bundle), table, out, rounds)
    return time.perf_counter() - start


def judge(name: str, folder: Path, held_out: HeldOut, seconds: float | None = None) -> None:
    """Print the mean nDCG of the lists that a bundle's factors give."""
    bundle: Bundle = load_bundle(folder)
    items = np.array([int(track) for track in bundle.tracks])
    local = np.full(held_out.truth.n_items, -1, np.int32)
    local[items] = np.arange(len(items))
    users = bundle.users.positions(pa.array(held_out.users).cast(pa.string()))
    vectors = bundle.user_factors[users] * (users >= 0)[:, None]
    seen = local[held_out.history.indices]
    before = np.concatenate(([0], np.cumsum(seen >= 0)))
    excluded = (before[held_out.history.indptr], seen[seen >= 0])
    lists, _ = ExactIndex(bundle.item_factors).search(vectors, max(CUTS), excluded)
    found = np.where(lists >= 0, items[lists], -1).astype(np.int32)
    scores = score_lists(found, held_out.truth, CUTS)
    means = "".join(f"  {scores[f'ndcg@{k}'].mean():9.4f}" for k in sorted(CUTS))
    print(f"{name:26}{means}" + ("" if seconds is None else f"  {seconds:6.2f} s"), flush=True)


if __name__ == "__main__":
    sys.exit(main())
