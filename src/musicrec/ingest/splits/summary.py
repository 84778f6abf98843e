"""What `metrics/data.json` says about the ingested splits."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from musicrec.errors import MusicRecError
from musicrec.jit.parallel import for_blocks
from musicrec.params import DataParams
from musicrec.storage.parquet import READING, parquet_parts


@dataclass(frozen=True)
class Contents:
    """What a split's files hold.

    Attributes
    ----------
    users, tracks : pyarrow.Array
        Distinct ids, in no order.
    histogram : dict
        Count -> number of rows.
    """

    users: pa.Array
    tracks: pa.Array
    histogram: dict[int, int]


def read_contents(folder: Path) -> Contents:
    """Read a split's Parquet parts in this process: memory follows the distinct ids, not the rows.

    The driver has just rewritten these files, so that they lie here even where Spark is a cluster.
    """
    parts = parquet_parts(folder)
    found: list[tuple[pa.Array, pa.Array, pa.Array] | None] = [None] * len(parts)

    def read(start: int, stop: int) -> None:
        for place in range(start, stop):
            found[place] = _read_part(parts[place])

    for_blocks(read, list(range(len(parts) + 1)))
    users, tracks, counts = zip(*filter(None, found), strict=True)
    histogram: Counter[int] = Counter()
    for counted in counts:
        histogram.update(
            dict(zip(*(field.to_pylist() for field in counted.flatten()), strict=True))
        )
    return Contents(
        pc.unique(pa.concat_arrays(users)), pc.unique(pa.concat_arrays(tracks)), dict(histogram)
    )


def _read_part(part: Path) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Distinct users, distinct tracks and numbers of each count, a row group at a time."""
    users, tracks, counts = [], [], []
    with pq.ParquetFile(part, **READING) as reader:
        for group in range(reader.num_row_groups):
            rows = reader.read_row_group(group, use_threads=False)
            users.append(rows["user_id"].unique())
            tracks.append(rows["track_id"].unique())
            counts.append(rows["count"])
    return (
        pc.unique(pa.concat_arrays(users)),
        pc.unique(pa.concat_arrays(tracks)),
        pc.value_counts(pa.chunked_array(chunk for column in counts for chunk in column.chunks)),
    )


def describe_splits(contents: dict[str, Contents]) -> dict[str, dict[str, Any]]:
    """Count rows, users and tracks of each split, and describe its play counts.

    Parameters
    ----------
    contents : dict
        `train`, `validation` and `test`.

    Returns
    -------
    dict
        For each split `rows`, `users`, `tracks`, `count` (see `describe_counts`) and
        `share_of_count_1`; for the held-out ones `cold_users` and `cold_tracks`, those without a
        training row.
    """
    metrics: dict[str, dict[str, Any]] = {}
    for split, found in contents.items():
        rows = sum(found.histogram.values())
        metrics[split] = {
            "users": len(found.users),
            "tracks": len(found.tracks),
            "rows": rows,
            "count": describe_counts(found.histogram),
            "share_of_count_1": float(Fraction(found.histogram.get(1, 0), rows)),
        }
        if split != "train":
            train = contents["train"]
            metrics[split]["cold_users"] = _missing(found.users, train.users)
            metrics[split]["cold_tracks"] = _missing(found.tracks, train.tracks)
    return metrics


def _missing(values: pa.Array, known: pa.Array) -> int:
    return len(values) - (pc.sum(pc.is_in(values, value_set=known)).as_py() or 0)


def describe_counts(histogram: dict[int, int]) -> dict[str, float]:
    """Describe play counts as pandas' `describe` does, exactly.

    Sums are of whole numbers and are rounded once, at the end, so that the result does not follow
    the order of the rows.

    Parameters
    ----------
    histogram : dict
        Count -> number of rows, at least one.

    Returns
    -------
    dict
        `mean`; `sd`, of a sample (0 for a single row); `min`, `p25`, `median`, `p75`, `max`,
        interpolated linearly between the two nearest rows.
    """
    rows = sum(histogram.values())
    total = sum(count * n for count, n in histogram.items())
    squares = sum(count * count * n for count, n in histogram.items())
    variance = Fraction(squares * rows - total * total, rows * max(rows - 1, 1))
    quartiles = {"p25": Fraction(1, 4), "median": Fraction(1, 2), "p75": Fraction(3, 4)}
    return {
        "mean": float(Fraction(total, rows)),
        "sd": math.sqrt(variance),
        "min": min(histogram),
        "max": max(histogram),
        **{name: _quantile(histogram, rows, share) for name, share in quartiles.items()},
    }


def _quantile(histogram: dict[int, int], rows: int, share: Fraction) -> float:
    position = (rows - 1) * share
    below = math.floor(position)
    lower = _nth(histogram, below)
    upper = _nth(histogram, min(below + 1, rows - 1))
    return float(lower + (upper - lower) * (position - below))


def _nth(histogram: dict[int, int], n: int) -> int:
    """The count of row n (from 0), rows sorted by count."""
    passed = 0
    for count in sorted(histogram):
        passed += histogram[count]
        if passed > n:
            return count
    raise IndexError(n)


def require_disjoint_users(contents: dict[str, Contents], params: DataParams) -> None:
    """Stop where a user is held out for validation and for test.

    Raises
    ------
    MusicRecError
        There are such; the sentence names the first.
    """
    held = contents["validation"].users
    both = held.filter(pc.is_in(held, value_set=contents["test"].users))
    if len(both):
        raise MusicRecError(
            f"{params.source}: {len(both):,} user{'s are' if len(both) > 1 else ' is'} in both "
            f"validation and test, first {pc.min(both).as_py()!r} (column "
            f"{params.columns.user!r}); keep each user in one of them"
        )
