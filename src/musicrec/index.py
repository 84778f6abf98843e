"""Dense ids for users and tracks: the most frequent first, ties by id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from musicrec.errors import MusicRecError
from musicrec.interactions.id_columns import IndexSizes, dictionary, pair_keys
from musicrec.interactions.memory import fits_in_memory, require_memory
from musicrec.jit.parallel import on_threads, thread_count, using_threads
from musicrec.storage.files import write_checksums, write_json
from musicrec.storage.parquet import (
    LAST_PLAYED,
    PARTS,
    READING,
    ROW_GROUP,
    SPLITS,
    parquet_parts,
    read_table,
    sound_parts,
    write_rows,
    write_table,
)

SCHEMA = pa.schema([("user", pa.int32()), ("item", pa.int32()), ("count", pa.int64())])
IDS = ("user_id", "track_id")
# Users and tracks by `dictionary`, and the other columns.
Rows = tuple[pa.DictionaryArray, pa.DictionaryArray, list[np.ndarray]]


def index_splits(inputs: Mapping[str, Path], folder: Path) -> dict[str, Any]:
    """Replace string ids by dense ones and write everything the later stages need.

    Plays that do not fit in memory are read again for as few groups of parts as do; the bytes are
    the same.

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
    files = [(name, part) for name, path in inputs.items() for part in sound_parts(path)]
    timed = LAST_PLAYED.name in pq.read_schema(files[0][1]).names
    schema = SCHEMA.append(LAST_PLAYED) if timed else SCHEMA
    rows = sum(pq.read_metadata(part).num_rows for _, part in files)
    n_groups = next((n for n in (1, 2, 4) if fits_in_memory(rows // n)), PARTS)
    read = cache(_read) if n_groups == 1 else _read
    require_memory(rows // PARTS, "index")
    threads = None if n_groups == 1 else min(2, thread_count())  # each reads a whole file
    with using_threads(threads):
        counted = on_threads(lambda file: _counts(read(file[1]), file[0] == "train"), files)
    maps, indices = [], []
    for tables, column, index in zip(zip(*counted, strict=True), IDS, schema.names, strict=False):
        found = pa.concat_tables(tables)
        maps.append(id_map(found, column, index))
        known = pc.index_in(found["id"], value_set=maps[-1][column]).to_numpy()
        ends = np.cumsum([table.num_rows for table in tables])
        indices.append(np.split(known, ends[:-1]))  # of the ids of each file
    sizes = _write_id_maps(maps, folder)
    for name in inputs:
        (folder / name).mkdir()
    of_files = list(zip(files, *indices, strict=True))
    for numbers in np.array_split(np.arange(PARTS), n_groups):
        with using_threads(threads):
            indexed = on_threads(lambda of: _indexed(read(of[0][1]), of[1:], numbers), of_files)  # noqa: B023
        for name in inputs:
            mine = [rows for (split, _), rows in zip(files, indexed, strict=True) if split == name]
            columns = [np.concatenate(column) for column in zip(*mine, strict=True)]
            _write_parts(columns, schema, folder / name, numbers)
    for name in inputs:
        write_checksums(folder / name)
    return summarise(folder, sizes)


def _read(part: Path) -> Rows:
    with pq.ParquetFile(part, read_dictionary=list(IDS), **READING) as reader:
        rows = reader.read(use_threads=False).unify_dictionaries()
    users, tracks = (dictionary(rows.column(name).combine_chunks()) for name in IDS)
    others = [name for name in ("count", LAST_PLAYED.name) if name in rows.column_names]
    return users, tracks, [rows.column(name).to_numpy() for name in others]


def _counts(rows: Rows, trained: bool) -> list[pa.Table]:
    """Ids of users and of tracks with their number of rows, which count in training alone."""
    found = []
    for ids in rows[:2]:
        plays = np.bincount(ids.indices, minlength=len(ids.dictionary))
        found.append(pa.table({"id": ids.dictionary, "plays": plays if trained else 0 * plays}))
    return found


def _indexed(rows: Rows, indices: Sequence[np.ndarray], numbers: np.ndarray) -> list[np.ndarray]:
    """The columns of some rows, ids as their `indices`: those of users of parts `numbers`."""
    users, items = (of[ids.indices.to_numpy()] for of, ids in zip(indices, rows[:2], strict=True))
    columns = [users, items, *rows[2]]
    if len(numbers) == PARTS:
        return columns
    mine = np.isin(users % PARTS, numbers)
    return [column[mine] for column in columns]


def _write_parts(
    columns: list[np.ndarray], schema: pa.Schema, folder: Path, numbers: np.ndarray
) -> None:
    """Write the rows of each part, by user and track."""
    users, items = columns[:2]

    def write(number: int) -> None:
        mine = np.flatnonzero(users % PARTS == number)
        mine = mine[np.argsort(pair_keys(users[mine], items[mine]))]
        starts = range(0, len(mine), ROW_GROUP)
        tables = (
            pa.table([pa.array(c[mine[start : start + ROW_GROUP]]) for c in columns], schema)
            for start in starts
        )
        if len(mine):
            write_rows(folder / f"part-{number:05d}.parquet", tables, schema)

    on_threads(write, numbers.tolist())


def id_map(counts: pa.Table, column: str, index: str) -> pa.Table:
    """Give every id an index by falling number of training rows; ties by its bytes.

    This is the order of Spark's `StringIndexer` (frequencyDesc). Ids without training rows come
    last, so that they get indices above all known ones.

    Parameters
    ----------
    counts : pyarrow.Table
        `id` (string), each perhaps several times, and `plays` (int64), its training rows.

    Returns
    -------
    pyarrow.Table
        Columns `index` (int32: 0, 1, …), `column` (string), `plays` (int64).

    Raises
    ------
    MusicRecError
        There are more ids than int32 can number.
    """
    known = counts.group_by("id").aggregate([("plays", "sum")])
    if known.num_rows > np.iinfo(np.int32).max:
        raise MusicRecError(f"{column}: {known.num_rows} ids are more than int32 can number")
    known = known.sort_by([("plays_sum", "descending"), ("id", "ascending")]).combine_chunks()
    numbers = pa.array(np.arange(known.num_rows, dtype=np.int32))
    return pa.table({index: numbers, column: known["id"], "plays": known["plays_sum"]})


def _write_id_maps(maps: Sequence[pa.Table], folder: Path) -> IndexSizes:
    """Write `users.parquet` and `items.parquet`, `sizes.json` and their checksums."""
    for name, table in zip(("users", "items"), maps, strict=True):
        write_table(folder / f"{name}.parquet", table)
    trained = [pc.sum(pc.greater(table["plays"], 0)).as_py() or 0 for table in maps]
    sizes = IndexSizes(*trained, *(table.num_rows for table in maps))
    write_json(folder / "sizes.json", asdict(sizes))
    write_checksums(folder)
    return sizes


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
