"""Which plays are for training, validation and test: given by files, or chosen by hash."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from musicrec.errors import MusicRecError
from musicrec.ingest.source_file import SourceFile
from musicrec.params.data import DataParams
from musicrec.spark.hashing import hash_fraction

if TYPE_CHECKING:
    from pyspark.sql import Column

SPLITS = ("train", "validation", "test")
_WORDS = {
    "train": {"train", "training"},
    "validation": {"validation", "valid", "val", "dev"},
    "test": {"test", "testing"},
}


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


def holdout_split(params: DataParams, *, timed: bool) -> Column:
    """Choose the split of each play of one table (one row a user and track).

    A user's own hash says whether they are a validation or test user; then `held_out` of their
    plays (rounded, at least one, never all) are held out: the latest, where the plays have a
    `time`, else those with the lowest hash. Users with a single play keep it in training.

    Returns
    -------
    Column
        string, one of `SPLITS`; a window over `user_id`.

    Raises
    ------
    MusicRecError
        The shares of validation and test users leave nobody to train on.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    if params.validation_users + params.test_users >= 1:
        raise MusicRecError(
            f"data.validation_users + data.test_users = {params.validation_users:g} + "
            f"{params.test_users:g} leaves no user to train on; their sum must be below 1"
        )
    user = hash_fraction(params.seed, "user_id", salt="holdout users")
    chosen = user < params.validation_users + params.test_users
    play = hash_fraction(params.seed, "user_id", "track_id", salt="holdout plays")
    # Training users need no order among their plays: a constant spares comparing it.
    key = F.when(chosen, F.col("time")) if timed else F.lit(0)
    of_user = Window.partitionBy("user_id")
    order = of_user.orderBy(key.desc(), F.when(chosen, play), "track_id")
    plays = F.count("*").over(of_user)
    wanted = F.floor(plays * params.held_out + 0.5)
    held = chosen & (F.row_number().over(order) <= F.least(plays - 1, F.greatest(wanted, F.lit(1))))
    return (
        F.when(held & (user < params.validation_users), F.lit("validation"))
        .when(held, F.lit("test"))
        .otherwise(F.lit("train"))
    )
