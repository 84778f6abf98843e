"""A small trained model and its bundle, with ids that are hard to type."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from musicrec.bundle.write import export_bundle
from musicrec.params import NO_GROUPS, ALSParams, ExportParams, FeedbackParams
from musicrec.storage.parquet import read_table
from musicrec.train.run import train
from tests.support.indexed_data import write_index

N_USERS, N_ITEMS = 30, 40
ALS = ALSParams(rank=6, max_iter=4, nonnegative=False)
FEEDBACK = FeedbackParams(transform="log1p", min_count=2)
HARD_IDS = ("-dash", "--json", "with=sign", "two words", "Sigur Rós", "7")
HARD_TRACKS = tuple(range(N_ITEMS - len(HARD_IDS), N_ITEMS))
LONE_USER = 4  # whose plays are all below feedback.min_count


def name_of(kind: str, index: int) -> str:
    """Id of a user or a track."""
    n = {"user": N_USERS, "item": N_ITEMS}[kind]
    place = index - (n - len(HARD_IDS))
    return HARD_IDS[place] if 0 <= place < len(HARD_IDS) else f"{kind}-{index}"


def make_project(
    root: Path,
    als: ALSParams = ALS,
    feedback: FeedbackParams = FEEDBACK,
    seed: int = 7,
    days: bool = False,
) -> Path:
    """Indexed plays, with one track and one user unknown to training, factors and a bundle.

    With `days`, the play of user u and track i was last on day (u + i) % 100 since 1970.
    """
    draw = np.random.default_rng(seed)
    rows = [
        (user, item, 1 if user == LONE_USER else int(draw.integers(1, 9)))
        for user in range(N_USERS)
        for item in np.sort(draw.choice(N_ITEMS, 8, replace=False))
    ]
    user, item, count = np.array(rows).T
    plays = {"user": user, "item": item, "count": count}
    if days:
        plays["last_played"] = (user + item) % 100 * 86400
    ids = (
        [name_of("user", n) for n in range(N_USERS + 1)],
        [name_of("item", n) for n in range(N_ITEMS + 1)],
    )
    write_index(root / "indexed", {"train": plays}, *ids, (N_USERS, N_ITEMS))
    train(root / "indexed", root / "factors", root / "train.json", root / "plots", als, feedback)
    export(root, root / "bundle")
    return root


def export(root: Path, output: Path, groups: Path | None = None) -> None:
    """Export the project's model once more."""
    params = ExportParams(n_trees=3, groups=str(groups or NO_GROUPS))
    export_bundle(root / "indexed", root / "factors", output, params)


def plays_of(root: Path, user: int) -> dict[str, int]:
    """Training plays of a user by track id."""
    table = read_table(root / "indexed/train").to_pylist()
    return {name_of("item", row["item"]): row["count"] for row in table if row["user"] == user}
