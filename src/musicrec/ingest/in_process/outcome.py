"""What the parts of a source come to, added up to what `metrics/data.json` says."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from musicrec.ingest.in_process.chunk import Doubt
from musicrec.ingest.in_process.plays import Part, Plays
from musicrec.ingest.in_process.split import LEFT_OUT
from musicrec.ingest.splits.filters import add_filtered, needs_whole_table
from musicrec.ingest.splits.merge import merge_summary
from musicrec.ingest.splits.overlap import strangers, warn_of_ids
from musicrec.ingest.splits.split import SPLITS, splits_of
from musicrec.ingest.splits.summary import Contents, describe_splits, require_disjoint_users
from musicrec.params import DataParams

_TYPICAL = 1 << 16  # counts below are tallied by place, all others by sorting


class Tally(NamedTuple):
    """What the rows of a split in one part add up to; `users` and `tracks` are bool, by code."""

    users: np.ndarray
    tracks: np.ndarray
    histogram: Counter[int]
    merged: int


class Outcome(NamedTuple):
    """What a part gives.

    Attributes
    ----------
    tallies : dict
        Of each split that has rows in it.
    merged : int
        Source rows of each (user, track) beyond the first, together.
    left_out : dict
        Of `split.left_out`; empty where nothing is filtered.
    """

    tallies: dict[str, Tally]
    merged: int
    left_out: dict[str, int]


def tally(part: Part, plays: Plays) -> Tally:
    """Count what one split has in one part."""
    users, tracks = np.zeros(len(plays.users.ids), bool), np.zeros(len(plays.tracks.ids), bool)
    users[part.users] = tracks[part.tracks] = True
    usual = part.counts < _TYPICAL
    tallied = np.bincount(part.counts[usual])
    values, rows = np.unique(part.counts[~usual], return_counts=True)
    found = np.flatnonzero(tallied)
    histogram = Counter(dict(zip(found.tolist(), tallied[found].tolist(), strict=True)))
    histogram.update(dict(zip(values.tolist(), rows.tolist(), strict=True)))
    return Tally(users, tracks, histogram, int(part.merged.sum()))


def summarise(plays: Plays, outcomes: list[Outcome], params: DataParams) -> dict[str, Any]:
    """Add all parts up, to what `ingest_on_spark` returns.

    Raises
    ------
    Doubt
        Training knows hardly any held-out user or track; Spark's road shows two ids.
    MusicRecError
        A user is held out for validation and for test.
    """
    observed: dict[str, Any] = {"too_large": 0}
    if params.columns.timestamp is not None:
        observed["times_of_zero"] = 0
    for name, (start, stop) in plays.tables.items():
        observed[f"read {name}"] = stop - start
    contents = {}
    for name in splits_of(params):
        found = [one.tallies[name] for one in outcomes if name in one.tallies]
        observed[f"merged {name}"] = sum(tally.merged for tally in found)
        users, tracks = (np.logical_or.reduce(used) for used in list(zip(*found, strict=True))[:2])
        contents[name] = Contents(
            plays.users.ids.filter(pa.array(users)),
            plays.tracks.ids.filter(pa.array(tracks)),
            dict(sum((tally.histogram for tally in found), Counter())),
        )
    whole = needs_whole_table(params)
    merged = dict(observed)
    if whole:
        merged["merged train"] = sum(one.merged for one in outcomes)  # before anything is left out
        merged |= {f"merged {name}": 0 for name in SPLITS[1:]}
    summary = merge_summary(merged, list(plays.tables), params)
    if params.protocol == "given":
        require_disjoint_users(contents, params)
    if whole:
        missing = {name: sum(one.left_out[name] for one in outcomes) for name in LEFT_OUT}
        add_filtered(summary, observed | missing, params)
    for name, described in describe_splits(contents).items():
        summary[name] = described | summary.get(name, {})
    if any(strangers(summary, params)):
        raise Doubt
    warn_of_ids(contents, params)
    return summary
