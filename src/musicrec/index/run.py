"""Dense ids for users and tracks: the most frequent first, ties by id."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from musicrec.index.figures import summarise
from musicrec.index.in_memory import index_in_memory, is_timed
from musicrec.index.on_spark import index_on_spark
from musicrec.interactions.memory import fits_in_memory
from musicrec.spark.java import readable_errors
from musicrec.spark.parts import PLAYS_SCHEMA, read_parts
from musicrec.spark.session import spark_session
from musicrec.storage.parquet import LAST_PLAYED, sound_parts


def index_splits(inputs: Mapping[str, Path], folder: Path) -> dict[str, Any]:
    """Replace string ids by dense ones and write everything the later stages need.

    In this process where the plays fit in its memory, else on Spark; the bytes are the same.

    Parameters
    ----------
    inputs : mapping
        `train`, `validation`, `test` and, where the protocol folds users in, `validation_history`
        and `test_history` -> folder of Parquet parts with columns `user_id`, `track_id`, `count`
        and, where times are known, `last_played`.
    folder : Path
        Existing; receives `users.parquet` and `items.parquet` (id maps), `sizes.json`, and a
        folder of part files for each split (`user` int32, `item` int32, `count` int64, and
        `last_played` as it was).

    Returns
    -------
    dict
        Sizes, and what of the held-out plays training does not know.

    Raises
    ------
    MusicRecError
        An input is not as its stage wrote it; there are more ids than int32 can number.
    """
    parts = [part for path in inputs.values() for part in sound_parts(path)]
    if fits_in_memory(sum(pq.read_metadata(part).num_rows for part in parts)):
        sizes = index_in_memory(inputs, folder)
    else:
        with spark_session("index") as spark, readable_errors("index"):
            schema = PLAYS_SCHEMA + (f", {LAST_PLAYED.name} bigint" if is_timed(parts[0]) else "")
            frames = {name: read_parts(spark, path, schema) for name, path in inputs.items()}
            sizes = index_on_spark(spark, frames, folder)
    return summarise(folder, sizes)
