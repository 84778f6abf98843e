"""Keep a share of the full-history users, and every validation and test user whole.

Plays pass through a row group at a time, beside 4 bytes a row of a part, so that no cluster is
needed: ingest has put them in order, and leaving rows out keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from musicrec.errors import MusicRecError
from musicrec.interactions.id_columns import code_ids, dictionary, hash_fraction
from musicrec.jit.parallel import on_threads
from musicrec.params import DownsampleParams
from musicrec.storage.files import write_checksums
from musicrec.storage.parquet import (
    LAST_PLAYED,
    READING,
    ROW_GROUP,
    plays_schema,
    sound_parts,
    write_rows,
)

KINDS = ("full_history", "validation", "test")


def downsample(
    train: Path, held_out: Mapping[str, Path], folder: Path, params: DownsampleParams
) -> list[dict[str, Any]]:
    """Choose the training users by hash of (seed, user).

    A full-history user (one of neither `validation` nor `test`) is kept when the hash, a number
    in [0, 1), is below `fraction`: a larger fraction keeps the same users and more.

    Parameters
    ----------
    train : Path
        Folder of Parquet parts with columns `user_id`, `track_id`, `count` (and
        `last_played`), of which each holds all plays of its users.
    held_out : mapping
        `validation` and `test` -> a folder of the same columns.
    folder : Path
        Existing; gets a part for every one of `train` of whose rows any are kept, in their order,
        and their checksums.

    Returns
    -------
    list of dict
        Rows of `plots/downsample.json`: training users and plays, kept and dropped, by their kind.

    Raises
    ------
    MusicRecError
        No play is left, or an input is not as its stage wrote it.
    """
    parts = sound_parts(train)
    held = {KINDS.index(name): _users_of(path) for name, path in held_out.items()}
    thinned = on_threads(lambda part: _thin(part, folder / part.name, held, params), parts)
    kinds, kept, plays = map(np.concatenate, zip(*thinned, strict=True))
    rows = []
    for fate, of_kinds in (("kept", KINDS), ("dropped", KINDS[:1])):
        for number, kind in enumerate(of_kinds):
            chosen = (kinds == number) & (kept == (fate == "kept"))
            counts = {"users": int(chosen.sum()), "plays": int(plays[chosen].sum())}
            rows.append({"kind": kind, "fate": fate} | counts)
    if not kept.any():
        raise MusicRecError(
            f"downsample.fraction = {params.fraction:g} leaves no training plays of the "
            f"{len(kept)} full-history users; raise it"
        )
    write_checksums(folder)
    return rows


def _users_of(folder: Path) -> pa.StringArray:
    users = []
    for part in sound_parts(folder):
        with pq.ParquetFile(part, read_dictionary=["user_id"], **READING) as reader:
            for batch in reader.iter_batches(columns=["user_id"], use_threads=False):
                users.append(dictionary(batch.column("user_id")).dictionary)
    return pc.unique(pa.chunked_array(users, pa.string()))


def _thin(
    source: Path, destination: Path, held: Mapping[int, pa.StringArray], params: DownsampleParams
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Copy the rows of one part that are kept; returns kind, fate and plays of all its users."""
    with pq.ParquetFile(source, read_dictionary=["user_id"], **READING) as reader:
        column = reader.read(["user_id"], use_threads=False).column(0)
        users = code_ids([dictionary(chunk) for chunk in column.chunks])
        kinds = np.zeros(len(users.ids), np.int8)
        for kind, known in held.items():
            kinds[pc.is_in(users.ids, value_set=known).to_numpy(zero_copy_only=False)] = kind
        draws = hash_fraction(params.seed, users.ids, salt="downsample")
        kept = (kinds > 0) | (draws < params.fraction)
        if kept.any():
            schema = plays_schema(timed=LAST_PLAYED.name in reader.schema_arrow.names)
            write_rows(destination, _kept_rows(reader, kept[users.codes], schema), schema)
    return kinds, kept, np.bincount(users.codes)


def _kept_rows(reader: pq.ParquetFile, kept: np.ndarray, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the rows kept of each row group: `kept` is a bool a row."""
    end = 0
    for batch in reader.iter_batches(batch_size=ROW_GROUP, use_threads=False):
        start, end = end, end + batch.num_rows
        yield pa.Table.from_batches([batch.filter(pa.array(kept[start:end]))]).cast(schema)


def downsample_metrics(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Figures of `metrics/downsample.json`, from what `downsample` returns."""
    return {
        f"{name}_{fate}": sum(row[name] for row in rows if row["fate"] == fate)
        for fate in ("kept", "dropped")
        for name in ("users", "plays")
    }


def describe(figures: dict[str, int], params: DownsampleParams) -> str:
    """Say in a line what was kept, for the terminal."""
    said = f"kept {figures['users_kept']:,} users with {figures['plays_kept']:,} plays"
    if not figures["users_dropped"]:
        return said
    return (
        f"{said}; left out {figures['users_dropped']:,} full-history users with "
        f"{figures['plays_dropped']:,} plays (downsample.fraction = {params.fraction:g}; 1.0 keeps "
        "all)"
    )
