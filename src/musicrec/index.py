"""Dense ids for users and tracks: the most frequent first, ties by id."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from musicrec.checksums import write_checksums
from musicrec.errors import MusicRecError
from musicrec.files import write_json
from musicrec.interactions import IndexSizes
from musicrec.parquet import READING, parquet_parts, write_table
from musicrec.spark.parts import PARTS, read_parts, write_splits

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Splits = dict[str, "DataFrame"]  # train, validation, test, and what the latter are folded in with


def index_splits(spark: SparkSession, splits: Splits, folder: Path) -> dict[str, Any]:
    """Replace string ids by dense ones and write everything the later stages need.

    Parameters
    ----------
    splits : dict
        Frames `train`, `validation`, `test` and, where the protocol folds users in,
        `validation_history`, `test_history`, of columns `user_id`, `track_id`, `count`.
    folder : Path
        Existing; receives `users.parquet` and `items.parquet` (id maps), `sizes.json`, and a
        folder of part files for each split (`user` int32, `item` int32, `count` int64).

    Returns
    -------
    dict
        Sizes, and what of the held-out plays training does not know.
    """
    from pyspark.sql import functions as F

    tables = {
        "users": id_map(splits, "user_id", "user"),
        "items": id_map(splits, "track_id", "item"),
    }
    known = {}
    for name, table in tables.items():
        write_table(folder / f"{name}.parquet", table)
        known[name] = pc.sum(pc.greater(table["plays"], 0)).as_py() or 0
    sizes = IndexSizes(
        known["users"], known["items"], tables["users"].num_rows, tables["items"].num_rows
    )
    write_json(folder / "sizes.json", asdict(sizes))
    write_checksums(folder)
    maps = [
        read_parts(spark, folder / "users.parquet", "user int, user_id string"),
        read_parts(spark, folder / "items.parquet", "item int, track_id string"),
    ]
    plays = _union(frame.withColumn("split", F.lit(name)) for name, frame in splits.items())
    for mapping in maps:
        plays = plays.join(mapping, mapping.columns[1])
    rows = plays.select("split", "user", "item", "count").repartition(PARTS, "user")
    write_splits(rows, folder, ["user", "item"])
    return summarise(folder, sizes)


def id_map(splits: Splits, column: str, index: str) -> pa.Table:
    """Give every id of the splits an index by falling number of training rows.

    This is the order of Spark's `StringIndexer` (frequencyDesc). Ids without training rows come
    last, so that they get indices above all known ones. Ids are counted in Spark; only the
    distinct ones reach the driver, as Arrow. Equal numbers are ordered by the bytes of the id.

    Returns
    -------
    pyarrow.Table
        Columns `index` (int32: 0, 1, …), `column` (string), `plays` (int64: training rows).

    Raises
    ------
    MusicRecError
        There are more ids than int32 can number.
    """
    from pyspark.sql import functions as F

    rows = _union(
        frame.select(column, F.lit(int(name == "train")).cast("long").alias("row"))
        for name, frame in splits.items()
    )
    table = rows.groupBy(column).agg(F.sum("row").alias("plays")).toArrow()
    table = table.sort_by([("plays", "descending"), (column, "ascending")])
    if table.num_rows > np.iinfo(np.int32).max:
        raise MusicRecError(f"{column}: {table.num_rows} ids are more than int32 can number")
    numbers = pa.array(np.arange(table.num_rows, dtype=np.int32))
    strings = table.column(column).cast(pa.string())
    arrays = [numbers, strings.combine_chunks(), table.column("plays").combine_chunks()]
    return pa.table(arrays, names=[index, column, "plays"])


def _union(frames: Iterable[DataFrame]) -> DataFrame:
    return functools.reduce(lambda one, other: one.unionByName(other), frames)


def summarise(folder: Path, sizes: IndexSizes) -> dict[str, Any]:
    """Count plays, users and tracks of the indexed splits, and those that training does not know.

    Reads one row group at a time: memory follows the number of ids, not of plays.
    """
    train = sum(pq.read_metadata(part).num_rows for part in parquet_parts(folder / "train"))
    density = train / max(1, sizes.n_users * sizes.n_items)
    summary: dict[str, Any] = asdict(sizes) | {"train": {"plays": train, "density": density}}
    for name in ("validation", "test"):
        rows_of_user = np.zeros(sizes.n_all_users, np.int64)
        rows_of_item = np.zeros(sizes.n_all_items, np.int64)
        for part in parquet_parts(folder / name):
            with pq.ParquetFile(part, **READING) as reader:
                for batch in reader.iter_batches(columns=["user", "item"]):
                    rows_of_user += np.bincount(batch["user"], minlength=sizes.n_all_users)
                    rows_of_item += np.bincount(batch["item"], minlength=sizes.n_all_items)
        new_users, new_items = rows_of_user[sizes.n_users :], rows_of_item[sizes.n_items :]
        summary[name] = {
            "plays": rows_of_user.sum(),
            "users": np.count_nonzero(rows_of_user),
            "tracks": np.count_nonzero(rows_of_item),
            "unknown_users": np.count_nonzero(new_users),
            "unknown_tracks": np.count_nonzero(new_items),
            "plays_of_unknown_users": new_users.sum(),
            "plays_of_unknown_tracks": new_items.sum(),
        }
    return summary


def headline(summary: Mapping[str, Any]) -> dict[str, float]:
    """Figures of `metrics/index.json`, from what `index_splits` returns."""
    figures: dict[str, float] = {
        "users": summary["n_users"],
        "tracks": summary["n_items"],
        "density": summary["train"]["density"],
    }
    for split in ("validation", "test"):
        for name in ("users", "tracks"):
            figures[f"unknown_{split}_{name}"] = summary[split][f"unknown_{name}"]
    return figures


def split_rows(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of `plots/index.json`: what training does not know of each held-out split."""
    return [{"split": split} | summary[split] for split in ("validation", "test")]
