"""What the splits hold, and what is wrong with them as a whole."""

from __future__ import annotations

import bisect
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from musicrec.errors import MusicRecError, warn
from musicrec.params import DataParams
from musicrec.storage.parquet import HISTORY

_LEAST_KNOWN = 0.05  # share of held-out users, or tracks, that training must know


class Contents(NamedTuple):
    """What a split's files hold."""

    users: pa.Array  # distinct ids, in no order, or within a batch their codes
    tracks: pa.Array
    histogram: Counter[int]  # count -> number of rows


Overlap = tuple[str, int, tuple[str, str]]  # split, source rows, first user and track


class Merged(NamedTuple):
    """What merging comes to, of one part of the users or of all.

    `numbers` are `rows`: good source rows, with `temporal` those of its windows; of these `merged`:
    those of each (user, track) of a split beyond the first, `merged <split>`: those of one, and
    `again`: those of a user, track and time that another row has; and those of `Plan.left_out`.
    """

    contents: dict[str, Contents]  # of each split that has rows, in the order of `Plan.splits`
    numbers: Counter[str]
    overlaps: list[Overlap]  # held-out plays that training has too


def histogram_of(counts: pa.Array) -> Counter[int]:
    """Number of rows of each count."""
    return Counter({one["values"]: one["counts"] for one in pc.value_counts(counts).to_pylist()})


def together(parts: Sequence[Merged], splits: Sequence[str]) -> Merged:
    """Add up what parts of the users come to."""
    contents = {}
    for name in splits:
        found = [part.contents[name] for part in parts if name in part.contents]
        if found:
            users, tracks, histograms = zip(*found, strict=True)
            distinct = pc.unique(pa.chunked_array(tracks))
            contents[name] = Contents(pa.concat_arrays(users), distinct, sum(histograms, Counter()))
    numbers = sum((part.numbers for part in parts), Counter())
    return Merged(contents, numbers, [overlap for part in parts for overlap in part.overlaps])


def describe_splits(contents: dict[str, Contents]) -> dict[str, dict[str, Any]]:
    """Count rows, users and tracks of each split, cold ones too, and describe its play counts."""
    metrics: dict[str, dict[str, Any]] = {}
    for split, found in contents.items():
        rows = sum(found.histogram.values())
        metrics[split] = {
            "users": len(found.users),
            "tracks": len(found.tracks),
            "rows": rows,
            "count": describe_counts(found.histogram),
            "share_of_count_1": found.histogram.get(1, 0) / rows,
        }
        if split != "train":
            train = contents["train"]
            metrics[split]["cold_users"] = len(_missing(found.users, train.users))
            metrics[split]["cold_tracks"] = len(_missing(found.tracks, train.tracks))
    return metrics


def _missing(values: pa.Array, known: pa.Array) -> pa.Array:
    return values.filter(pc.invert(pc.is_in(values, value_set=known)))


def describe_counts(histogram: dict[int, int]) -> dict[str, float]:
    """Describe play counts as pandas' `describe` does, exactly.

    Of count -> number of rows, at least one. Sums are of whole numbers and are rounded once, as
    they are divided. `sd` is of a sample (0 for a single row); quartiles are interpolated linearly
    between the two nearest rows.
    """
    counts = sorted(histogram)
    ends = list(itertools.accumulate(histogram[count] for count in counts))
    rows = ends[-1]
    total = sum(count * n for count, n in histogram.items())
    squares = sum(count * count * n for count, n in histogram.items())

    def quartile(number: int) -> float:
        below, quarters = divmod((rows - 1) * number, 4)
        lower = counts[bisect.bisect_right(ends, below)]
        upper = counts[bisect.bisect_right(ends, min(below + 1, rows - 1))]
        return (4 * lower + (upper - lower) * quarters) / 4

    return {
        "mean": total / rows,
        "sd": math.sqrt((squares * rows - total * total) / (rows * max(rows - 1, 1))),
        "min": counts[0],
        "max": counts[-1],
        **{name: quartile(i) for i, name in enumerate(("p25", "median", "p75"), 1)},
    }


def require_sound_splits(contents: dict[str, Contents], params: DataParams) -> None:
    """Stop where given splits cannot be judged; warn of users without history where others have it.

    They cannot where a user is held out for validation and for test, or is in training and has a
    history beside it, and where training (or the history) knows under 5 % of the held-out users or
    tracks, most often because ids are written in two ways, such as `12` and `12.0`.
    """
    if params.protocol != "given":
        return
    histories = [name for name in contents if name.endswith(HISTORY)]
    for one, other in (("validation", "test"), *(("train", history) for history in histories)):
        users = contents[one].users
        both = users.filter(pc.is_in(users, value_set=contents[other].users))
        if len(both):
            raise MusicRecError(
                f"{params.source}: {len(both):,} user{'s are' if len(both) > 1 else ' is'} in both "
                f"{one} and {other}, first {pc.min(both).as_py()!r} (column "
                f"{params.columns.user!r}); keep each user in one of them"
            )
    for split in ("validation", "test"):
        history = f"{split}{HISTORY}"
        known_by = {"user": history if history in contents else "train", "track": "train"}
        for role, name in known_by.items():
            held, known = (getattr(contents[where], f"{role}s") for where in (split, name))
            missing = _missing(held, known)
            if len(held) - len(missing) < _LEAST_KNOWN * len(held):
                ours, theirs = (pc.min(ids).as_py() for ids in (known, held))
                raise MusicRecError(
                    f"{params.source}: {name} has {len(held) - len(missing):,} of the "
                    f"{len(held):,} {role}s of {split} (column "
                    f"{getattr(params.columns, role)!r}), such as {ours!r} in {name} and "
                    f"{theirs!r} in {split}; write the ids of all splits in the same form"
                )
            if name == history and len(missing):
                warn(
                    f"{params.source}: {len(missing):,} users of {split} have no play in "
                    f"{history}, first {pc.min(missing).as_py()!r}; nothing is recommended to them"
                )


def id_warnings(contents: dict[str, Contents], params: DataParams) -> Iterator[str]:
    """Say where `12` is beside `12.0`, as tables with gaps have it."""
    for role in ("user", "track"):
        every = pa.chunked_array([getattr(found, f"{role}s") for found in contents.values()])
        floats = every.filter(pc.ends_with(every, ".0"))
        bare = pc.utf8_slice_codeunits(floats, 0, -2)
        twice = floats.filter(pc.is_in(bare, value_set=every)).unique()
        if len(twice):
            first = pc.min(twice).as_py()
            yield (
                f"{params.source}: column {getattr(params.columns, role)!r} has {role}s in two "
                f"forms, {len(twice):,} of them such as {first[:-2]} and {first}, which are two "
                f"{role}s here; write them in one"
            )
