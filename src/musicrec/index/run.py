"""Dense ids for users and tracks: the most frequent first, ties by id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from musicrec.index.in_memory import index_in_memory, is_timed
from musicrec.index.on_spark import index_on_spark
from musicrec.interactions.coded import IndexSizes
from musicrec.interactions.memory import fits_in_memory, spark_is_named
from musicrec.spark.java import readable_errors
from musicrec.spark.parts import PLAYS_SCHEMA, read_parts
from musicrec.spark.session import spark_session
from musicrec.storage.parquet import LAST_PLAYED, SPLITS, parquet_parts, read_table, sound_parts


def index_splits(inputs: Mapping[str, Path], folder: Path) -> dict[str, Any]:
    """Replace string ids by dense ones and write everything the later stages need.

    In this process where the plays fit in its memory and no Spark master is named, else on Spark;
    the bytes are the same.

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
    rows = sum(pq.read_metadata(part).num_rows for part in parts)
    if fits_in_memory(rows) and not spark_is_named():
        sizes = index_in_memory(inputs, folder)
    else:
        with spark_session("index") as spark, readable_errors("index"):
            schema = PLAYS_SCHEMA + (f", {LAST_PLAYED.name} bigint" if is_timed(parts[0]) else "")
            frames = {name: read_parts(spark, path, schema) for name, path in inputs.items()}
            sizes = index_on_spark(spark, frames, folder)
    return summarise(folder, sizes)


def summarise(folder: Path, sizes: IndexSizes) -> dict[str, Any]:
    """Count plays, users and tracks of the splits, and those that training does not know."""
    train = sum(pq.read_metadata(part).num_rows for part in parquet_parts(folder / "train"))
    density = train / max(1, sizes.n_users * sizes.n_items)
    summary: dict[str, Any] = asdict(sizes) | {"train": {"plays": train, "density": density}}
    for name in [name for name in SPLITS[1:] if (folder / name).is_dir()]:
        plays = read_table(folder / name, ["user", "item"])
        of_users = np.bincount(plays["user"], minlength=sizes.n_all_users)
        of_tracks = np.bincount(plays["item"], minlength=sizes.n_all_items)
        new_users, new_tracks = of_users[sizes.n_users :], of_tracks[sizes.n_items :]
        summary[name] = {
            "plays": plays.num_rows,
            "users": np.count_nonzero(of_users),
            "tracks": np.count_nonzero(of_tracks),
            "unknown_users": np.count_nonzero(new_users),
            "unknown_tracks": np.count_nonzero(new_tracks),
            "plays_of_unknown_users": new_users.sum(),
            "plays_of_unknown_tracks": new_tracks.sum(),
        }
    return summary


def index_metrics(summary: Mapping[str, Any]) -> dict[str, float]:
    """Figures of `metrics/index.json`, from what `index_splits` returns."""
    figures: dict[str, float] = {
        "users": summary["n_users"],
        "tracks": summary["n_items"],
        "density": summary["train"]["density"],
    }
    for row in split_rows(summary):
        for name in ("users", "tracks"):
            figures[f"unknown_{row['split']}_{name}"] = row[f"unknown_{name}"]
    return figures


def split_rows(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of `plots/index.json`: what training does not know of each held-out split."""
    return [{"split": split} | summary[split] for split in SPLITS[1:] if split in summary]
