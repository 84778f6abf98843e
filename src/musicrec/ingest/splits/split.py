"""Which plays are for training, validation and test: given by files, or chosen by hash."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from musicrec.errors import MusicRecError
from musicrec.ingest.source.copies import refuse_copies
from musicrec.ingest.source.source_file import SourceFile
from musicrec.ingest.splits.hashing import hash_fraction
from musicrec.params import ROLES, DataParams
from musicrec.storage.parquet import HISTORY

if TYPE_CHECKING:
    from pyspark.sql import Column

SPLITS = ("train", "validation", "test")
HOLDOUT_USERS, HOLDOUT_PLAYS = "holdout users", "holdout plays"  # what is drawn by hash
_WORDS = {
    "train": {"train", "training"},
    "validation": {"validation", "valid", "val", "dev"},
    "test": {"test", "testing"},
}


def splits_of(params: DataParams) -> tuple[str, ...]:
    """The folders that a protocol fills: `SPLITS`, and what held-out users are folded in with."""
    if params.protocol != "strong_generalization":
        return SPLITS
    return (*SPLITS, f"validation{HISTORY}", f"test{HISTORY}")


def given_splits(files: list[SourceFile], source: str) -> dict[str, list[SourceFile]]:
    """Sort the files of a folder into splits by a word in the name of the file or sub-folder.

    `train.parquet`, `cf_train.snappy.parquet` and `train/part-00000.parquet` are all for training;
    files that name no split are left out.

    Raises
    ------
    MusicRecError
        A split is missing, or a name holds the words of two.
    """
    found: dict[str, list[SourceFile]] = {split: [] for split in SPLITS}
    for file in files:
        name, matches = _named(file)
        if len(matches) > 1:
            raise MusicRecError(
                f"{source}: the name {name!r} stands for {' and '.join(matches)} alike; rename it"
            )
        for split in matches:
            found[split].append(file)
    missing = [split for split in SPLITS if not found[split]]
    if missing:
        names = sorted({file.relative.split("/")[0] for file in files})
        raise MusicRecError(
            f"{source}: no file or sub-folder for {' and '.join(missing)} (data.protocol: given); "
            f"the source has {', '.join(names)[:200]}; add it, or split one table with "
            "data.protocol: holdout"
        )
    return found


def refuse_splits_and_more(files: list[SourceFile], source: str) -> None:
    """Stop where one table would be made of three splits and of other files beside them.

    Raises
    ------
    MusicRecError
        As it happens when plays are put beside those of the embedded sample.
    """
    found = [_named(file) for file in files]
    splits = {split for _, matches in found for split in matches}
    others = sorted({name for name, matches in found if not matches})
    if splits == set(SPLITS) and others:
        raise MusicRecError(
            f"{source}: holds train, validation and test files and beside them "
            f"{', '.join(others)[:200]}, which data.protocol: holdout would read as one table; "
            "name in data.source the file or folder that is meant"
        )


def _named(file: SourceFile) -> tuple[str, list[str]]:
    """The name of a file (or the sub-folder it is in), and the splits it stands for."""
    name = file.relative.split("/")[0]
    words = set(re.split("[^a-z]+", name.lower()))
    return name, [split for split in SPLITS if words & _WORDS[split]]


def tables_of(files: list[SourceFile], params: DataParams) -> dict[str, list[SourceFile]]:
    """Sort a source's files into tables: one a split with `given`, else the one called `plays`.

    Raises
    ------
    MusicRecError
        See `given_splits`, `refuse_splits_and_more` and `refuse_copies`.
    """
    if params.protocol == "given":
        tables = given_splits(files, params.source)
    else:
        refuse_splits_and_more(files, params.source)
        tables = {"plays": files}
    read = sorted(file for members in tables.values() for file in members if file.path is not None)
    mapped = [getattr(params.columns, role) for role in ROLES]
    refuse_copies(read, [column for column in mapped if isinstance(column, str)])
    return tables


def require_training_users(params: DataParams) -> None:
    """Stop where the shares of validation and test users leave nobody to train on.

    Raises
    ------
    MusicRecError
        Their sum is 1 or more.
    """
    if params.protocol != "given" and params.validation_users + params.test_users >= 1:
        raise MusicRecError(
            f"data.validation_users + data.test_users = {params.validation_users:g} + "
            f"{params.test_users:g} leaves no user to train on; their sum must be below 1"
        )


def require_splits(folder: Path, params: DataParams) -> None:
    """Stop where a split has got no row, and so no folder.

    Raises
    ------
    MusicRecError
        The sentence names the parameter that left it empty.
    """
    for split in splits_of(params):
        if not (folder / split).is_dir():
            raise MusicRecError(_nobody_left(split, params))


def _nobody_left(split: str, params: DataParams) -> str:
    if params.protocol == "given":
        return f"{params.source}: no usable row is left in {split}"
    if split == "train":
        filtered = params.min_user_plays > 1 or params.min_track_users > 1
        filters = (
            f" of users with {params.min_user_plays} or more tracks and tracks with "
            f"{params.min_track_users} or more users; lower data.min_user_plays or "
            "data.min_track_users"
        )
        return f"{params.source}: no usable row is left in train" + filters * filtered
    share = getattr(params, f"{split.removesuffix(HISTORY)}_users")
    return (
        f"{params.source}: no {split} user: none of the users with two or more tracks was chosen "
        f"by data.{split}_users = {share:g}; raise it or use more plays"
    )


def holdout_split(params: DataParams, *, timed: bool, usable: Column | None = None) -> Column:
    """Choose the split of each play of one table (one row a user and track).

    A user's own hash says whether they are a validation or test user; then `held_out` of their
    plays (rounded, at least one, never all) are held out: the latest, where the plays have a
    `time`, else those with the lowest hash. With `holdout` the rest is for training, as are users
    with a single play. With `strong_generalization` the rest is what their recommendations may be
    made from (`validation_history`, `test_history`), and users with a single play have no split.

    Parameters
    ----------
    usable : Column, optional
        Plays that are not are as if they were not there, and have no split.

    Returns
    -------
    Column
        string, one of `splits_of(params)`, or null; a window over `user_id`.

    Raises
    ------
    MusicRecError
        The shares of validation and test users leave nobody to train on.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    require_training_users(params)
    user, chosen = held_out_user(params)
    play = hash_fraction(params.seed, "user_id", "track_id", salt=HOLDOUT_PLAYS)
    # Training users need no order among their plays: a constant spares comparing it.
    key = F.when(chosen, F.col("time")) if timed else F.lit(0)
    of_user = Window.partitionBy("user_id")
    first = [] if usable is None else [usable.desc()]
    order = of_user.orderBy(*first, key.desc(), F.when(chosen, play), "track_id")
    plays = (F.count("*") if usable is None else F.count_if(usable)).over(of_user)
    wanted = F.floor(plays * params.held_out + 0.5)
    held = chosen & (F.row_number().over(order) <= F.least(plays - 1, F.greatest(wanted, F.lit(1))))
    kind = F.when(user < params.validation_users, F.lit("validation")).otherwise(F.lit("test"))
    split = F.when(held, kind)
    if params.protocol == "strong_generalization":
        split = split.when(chosen, F.when(plays > 1, F.concat(kind, F.lit(HISTORY))))
    split = split.otherwise(F.lit("train"))
    return split if usable is None else F.when(usable, split)


def held_out_user(params: DataParams) -> tuple[Column, Column]:
    """A user's hash, from 0 to 1, and whether it makes them a validation or test user."""
    user = hash_fraction(params.seed, "user_id", salt=HOLDOUT_USERS)
    return user, user < params.validation_users + params.test_users


def without_unused_time(params: DataParams) -> DataParams:
    """The same parameters, without a time column where nothing is held out by time."""
    if params.protocol != "given":
        return params
    return params.replace(columns=params.columns.replace(timestamp=None))  # holdout alone asks
