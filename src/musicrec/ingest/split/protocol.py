"""Which plays are for training, validation and test: given by files, or chosen by hash or time.

The filters are in the order of Liang, Krishnan, Hoffman and Jebara (WWW 2018, "Variational
autoencoders for collaborative filtering") in their own code: first tracks with too few users go,
then users with too few of the tracks left, once each, so that a track may end up below its bound;
then users are held out; then held-out users lose the plays of tracks that no training user has;
what is left of each is cut into fold-in and truth.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from musicrec.errors import MusicRecError
from musicrec.ingest.read.values import SECOND, times_of
from musicrec.ingest.source.duplicates import refuse_duplicates
from musicrec.ingest.source.files import SourceFile
from musicrec.params import ROLES, DataParams, duration_seconds
from musicrec.storage.parquet import HISTORIES, HISTORY, SPLITS

Windows = dict[str, tuple[int, int]]
Times = Callable[[], Iterable[np.ndarray]]  # microseconds since 1970: int64 arrays, none empty
_BUCKETS = 1 << 16
_YEAR_ONE = -62_135_596_800  # the first second that a date can show
HOLDOUT_USERS, HOLDOUT_PLAYS = "holdout users", "holdout plays"  # what is drawn by hash
TABLE = "plays"  # the one table of all protocols but `given`
_WORDS = {
    "train": {"train", "training"},
    "validation": {"validation", "valid", "val", "dev"},
    "test": {"test", "testing"},
}


class Plan(NamedTuple):
    """How rows become splits."""

    params: DataParams
    splits: tuple[str, ...]  # folders to fill: of `splits_of`
    windows: Windows  # with `temporal`: split -> bounds of its times, as of `windows_of`

    @property
    def drawn(self) -> bool:
        """Whether held-out users are drawn by hash: not where file or time tell rows apart."""
        return self.params.protocol in ("holdout", "strong_generalization")

    @property
    def needs_whole_table(self) -> bool:
        """Whether a play's split follows from more than its user's plays."""
        return self.params.protocol == "strong_generalization" or filters_on(self.params)

    @property
    def known(self) -> list[int]:
        """For each split, those whose plays may not be among its held-out ones too, as bits."""
        bits = {name: 1 << place for place, name in enumerate(self.splits)}
        held = SPLITS[1:]
        return [1 | bits.get(f"{one}{HISTORY}", 0) if one in held else 0 for one in self.splits]

    @property
    def left_out(self) -> list[str]:
        """What is counted of plays that are in no split."""
        names = ["plays_filtered", "users_filtered"] * filters_on(self.params)
        if self.params.protocol == "strong_generalization":
            names += ["plays_of_unknown_tracks", "plays_of_short_histories"]
        return names + ["users_without_history", "plays_without_history"] * bool(self.windows)


def splits_of(params: DataParams, tables: Collection[str], judged: str) -> tuple[str, ...]:
    """The folders that a protocol fills; `judged`: the one held-out split of `temporal`."""
    if params.protocol == "given":
        return tuple(tables)
    if params.protocol == "temporal":
        return ("train", judged)
    return (*SPLITS, *(HISTORIES if params.protocol == "strong_generalization" else ()))


def filters_on(params: DataParams) -> bool:
    """Whether users or tracks are filtered."""
    return params.min_user_plays > 1 or params.min_track_users > 1


def require_protocol(params: DataParams) -> None:
    """Check parameters that must go together."""
    if params.protocol == "temporal":
        if params.columns.timestamp is None:
            raise MusicRecError(
                "data.protocol: temporal needs times; set data.columns.timestamp, or split a table "
                "without times by data.protocol: holdout"
            )
    elif params.protocol == "given":
        if filters_on(params):
            raise MusicRecError(
                "data.min_user_plays and data.min_track_users filter one table; data.protocol: "
                "given takes three as they are, so set both to 1 or use data.protocol: holdout"
            )
    elif params.validation_users + params.test_users >= 1:
        raise MusicRecError(
            f"data.validation_users + data.test_users = {params.validation_users:g} + "
            f"{params.test_users:g} leaves no user to train on; their sum must be below 1"
        )


def tables_of(files: list[SourceFile], params: DataParams) -> dict[str, list[SourceFile]]:
    """Sort a source's files into tables: one a split with `given`, else `TABLE`."""
    given = params.protocol == "given"
    tables = _given_splits(files, params.source) if given else {TABLE: files}
    others = [file.relative for file in files if not _named(file)[1]]
    if others and not given and set(SPLITS) <= {split for f in files for split in _named(f)[1]}:
        raise MusicRecError(
            f"{params.source}: holds train, validation and test files and beside them {others[0]}; "
            "name in data.source the file or folder that is meant"
        )
    if params.duplicates == "error":
        read = sorted(file for members in tables.values() for file in members)
        refuse_duplicates(read, [getattr(params.columns, role) for role in ROLES])
    return tables


def _given_splits(files: list[SourceFile], source: str) -> dict[str, list[SourceFile]]:
    """Sort the files of a folder into splits by a word in the name of the file or sub-folder.

    `train.parquet`, `cf_train.snappy.parquet` and `train/part-00000.parquet` are all for training;
    files that name no split are left out. `visible`, `history` or `fold_in` beside the name of a
    held-out split: what its users are folded in with.
    """
    found: dict[str, list[SourceFile]] = {split: [] for split in (*SPLITS, *HISTORIES)}
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
    return {split: members for split, members in found.items() if members}


def _named(file: SourceFile) -> tuple[str, list[str]]:
    """The name of a file (or the sub-folder it is in), and the splits it stands for."""
    name = file.relative.split("/")[0]
    words = set(re.split("[^a-z]+", name.lower().replace("fold_in", "history")))
    known = words & {"visible", "history"}
    return name, [
        f"{split}{HISTORY}" if known and split != "train" else split
        for split in SPLITS
        if words & _WORDS[split]
    ]


def require_splits(folder: Path, plan: Plan) -> None:
    """Stop where a split has got no row, and so no folder."""
    for split in plan.splits:
        if not (folder / split).is_dir():
            advice = "fix the source"
            if plan.windows:
                advice = f"set data.{plan.splits[1]}_from to a time before which users have plays"
            elif plan.drawn:
                change = "lower" if split == "train" else "raise"
                advice = "use plays of more users, or "
                advice += f"{change} data.validation_users, data.test_users"
            if filters_on(plan.params):
                advice = f"lower data.min_user_plays, data.min_track_users, or {advice}"
            raise MusicRecError(f"{plan.params.source}: no usable row is left in {split}; {advice}")


def windows_of(params: DataParams, judged: str, times: Times) -> Windows:
    """Find the windows of training and of the held-out plays.

    Training ends `data.gap` before the boundary of `judged`, and a validation window as long before
    that of the test.

    `times` gives the time of every play, in parts, and is called several times. Returns `train` and
    `judged` -> first microsecond, and the first one after it.

    Raises
    ------
    MusicRecError
        A boundary is missing or not a time; a window has no play.
    """
    first = min(int(part.min()) for part in times())
    last = max(int(part.max()) for part in times())
    span = f"the plays are from {shown(first)} to {shown(last)}"
    wanted = {split: getattr(params, f"{split}_from") for split in ("validation", "test")}
    if wanted[judged] is None:
        raise MusicRecError(
            f"data.protocol: temporal with evaluate.split: {judged} needs data.{judged}_from, a "
            f"date or a share of the plays; {span}"
        )
    found = {}
    for split, value in wanted.items():
        if isinstance(value, float):
            found[split] = _latest(value, times, first, last)
        elif value is not None:
            found[split] = _time(f"{split}_from", value)
    gap, own, since = duration_seconds(params.gap) * SECOND, found[judged], first
    end = found["test"] - gap if judged == "validation" and "test" in found else last + 1
    if params.since is not None:
        try:
            since = own - duration_seconds(params.since) * SECOND
        except ValueError:
            since = _time("since", params.since)
    windows = {"train": (since, own - gap), judged: (own, end)}
    for name, (start, stop) in windows.items():
        if not any(((part >= start) & (part < stop)).any() for part in times()):
            raise MusicRecError(
                f"{params.source}: no play is in the window of {name}, from {shown(start)} until "
                f"{shown(stop)}; {span}; set data.validation_from, data.test_from, data.since or "
                "data.gap"
            )
    return windows


def shown(time: int) -> str:
    """A time in microseconds as text, to the second."""
    seconds = max(time // SECOND, _YEAR_ONE)
    return (datetime(1970, 1, 1) + timedelta(seconds=seconds)).isoformat() + "Z"


def _time(name: str, text: str) -> int:
    values, codes = times_of(pa.array([text]), "auto")
    if codes[0]:
        raise MusicRecError(
            f"data.{name} = {text!r} is not allowed; it must be a date (2020-01-31), a time "
            "(2020-01-31 18:00, UTC unless it says otherwise)"
            + (" or a duration (180d)" if name == "since" else " or a share of the plays (0.1)")
        )
    return int(values[0])


def _latest(share: float, times: Times, first: int, last: int) -> int:
    """The time from which on a share of the plays are, rounded to whole plays.

    Counts the plays of 65,536 equal intervals, then of the one that holds the time, and so on, so
    that memory does not follow the plays.
    """
    wanted = max(1, int(share * sum(len(part) for part in times()) + 0.5))
    while first < last:
        width = (last - first) // _BUCKETS + 1
        tally = np.zeros(_BUCKETS, np.int64)
        for part in times():
            here = part[(part >= first) & (part <= last)]
            tally += np.bincount((here - first) // width, minlength=_BUCKETS)
        from_end = np.cumsum(tally[::-1])
        later = int(np.searchsorted(from_end, wanted))
        wanted -= int(from_end[later - 1]) if later else 0
        first += (_BUCKETS - 1 - later) * width
        last = min(last, first + width - 1)
    return first
