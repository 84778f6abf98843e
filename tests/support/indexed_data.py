"""Small indexed plays and factors in the pipeline's format, for tests that need no Spark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from musicrec.interactions import factors
from musicrec.params import ALSParams, BaselinesParams, EvaluateParams, FeedbackParams
from musicrec.storage.files import write_checksums, write_json
from musicrec.storage.parquet import write_table

N_USERS, N_ITEMS, N_UNKNOWN_USERS, N_UNKNOWN_ITEMS, RANK = 300, 120, 4, 7, 4


@dataclass(frozen=True)
class Plays:
    """(user, item) pairs of each split, and the tastes they were drawn from."""

    train: set[tuple[int, int]]
    validation: set[tuple[int, int]]
    test: set[tuple[int, int]]
    users: np.ndarray
    items: np.ndarray


def make_plays(seed: int = 0) -> Plays:
    """Draw plays from tastes; users 0 to 99 have plays held out in validation, to 149 in test."""
    rng = np.random.default_rng(seed)
    users = rng.random((N_USERS, RANK)).astype(np.float32) ** 3
    items = rng.random((N_ITEMS, RANK)).astype(np.float32) ** 3
    popularity = 1 / np.arange(2, N_ITEMS + 2) ** 0.5
    chance = (users @ items.T) ** 2 * popularity
    chance *= 12 / chance.sum(axis=1, keepdims=True)
    played = rng.random(chance.shape) < chance
    played[np.arange(N_USERS), rng.integers(0, N_ITEMS, N_USERS)] = True
    held = played & (rng.random(chance.shape) < 0.4)
    held[150:] = False
    held[3] = played[3]  # a user whose whole history is held out keeps one training play
    held[3, np.flatnonzero(played[3])[0]] = False
    train = played & ~held
    for item in np.flatnonzero(~train.any(axis=0)):
        train[N_USERS - 1, item] = True
    pairs = {(int(u), int(i)) for u, i in np.argwhere(held)}
    validation = {pair for pair in pairs if pair[0] < 100}
    for user in range(N_USERS, N_USERS + N_UNKNOWN_USERS):
        validation |= {(user, 0), (user, N_ITEMS)}
    for unknown in range(N_UNKNOWN_ITEMS):
        validation.add((unknown * 5, N_ITEMS + unknown))
    return Plays(
        train={(int(u), int(i)) for u, i in np.argwhere(train)},
        validation=validation,
        test={pair for pair in pairs if pair[0] >= 100},
        users=users,
        items=items * popularity[:, None].astype(np.float32),
    )


def write_index(
    folder: Path,
    splits: Mapping[str, Mapping[str, ArrayLike]],
    user_ids: Sequence[str],
    track_ids: Sequence[str],
    known: tuple[int, int],
) -> None:
    """Write what the index stage writes of columns by split, all ids, and how many are known."""
    for name, columns in splits.items():
        types = {"user": np.int32, "item": np.int32}
        arrays = {key: np.array(rows, types.get(key, np.int64)) for key, rows in columns.items()}
        table = pa.table(arrays)
        half = table.num_rows // 2
        write_table(folder / name / "part-00000.parquet", table.slice(0, half))
        write_table(folder / name / "part-00001.parquet", table.slice(half))
        write_checksums(folder / name)
    for kind, label, ids in (("user", "user_id", user_ids), ("item", "track_id", track_ids)):
        plays = np.bincount(splits["train"][kind], minlength=len(ids))
        table = pa.table({kind: np.arange(len(ids), dtype=np.int32), label: ids, "plays": plays})
        write_table(folder / f"{kind}s.parquet", table)
    sizes = (*known, len(user_ids), len(track_ids))
    names = ("n_users", "n_items", "n_all_users", "n_all_items")
    write_json(folder / "sizes.json", dict(zip(names, sizes, strict=True)))
    write_checksums(folder)


def write_indexed(
    folder: Path, plays: Plays, last_played: Callable[[int, int], int] | None = None
) -> None:
    """Write what the index stage writes; with times if a function gives that of a pair."""
    splits = {}
    for name in ("train", "validation", "test"):
        pairs = sorted(getattr(plays, name))
        splits[name] = {
            "user": [user for user, _ in pairs],
            "item": [item for _, item in pairs],
            "count": [1 + (user + item) % 5 for user, item in pairs],
        }
        if last_played is not None:
            splits[name]["last_played"] = [last_played(*pair) for pair in pairs]
    numbers = (N_USERS + N_UNKNOWN_USERS, N_ITEMS + N_UNKNOWN_ITEMS)
    users, tracks = ([f"{(i * 7919) % 100003:05d}" for i in range(n)] for n in numbers)
    ids = [f"u{text}" for text in users], [f"TR{text}" for text in tracks]
    write_index(folder, splits, *ids, (N_USERS, N_ITEMS))


def write_factors(folder: Path, users: np.ndarray, items: np.ndarray) -> None:
    """Write what the train stage writes."""
    blocks = (ALSParams(rank=users.shape[1]), FeedbackParams())
    trained_with = {block.block: block.model_dump() for block in blocks}
    factors.write_factors(folder, users.astype(np.float32), items.astype(np.float32), trained_with)


def write_baselines(folder: Path, params: EvaluateParams) -> None:
    """Write what the baselines stage writes beside `folder/indexed`."""
    # Here, since the stages of tests/review need no kernels.
    from musicrec.baselines.lists import write_baselines as write_lists
    from musicrec.baselines.run import describe, recommend_baselines
    from musicrec.interactions.held_out import read_held_out

    held_out = read_held_out(folder / "indexed", params.split, params.seen)
    baselines = BaselinesParams(neighbours=20)
    keep = params.seen == "keep"
    lists = recommend_baselines(held_out, max(params.k), baselines, keep_seen=keep)
    write_lists(folder / "baselines", lists, describe(held_out, baselines))
