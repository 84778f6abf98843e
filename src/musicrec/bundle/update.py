"""Add new plays to a bundle: half steps solve the users and tracks they touch, and no others.

The objective is that of training, over all plays, old and new; rows that got no play keep their
factors. New users and tracks get indices after the old ones, in the order of their ids.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.als.feedback import as_trained
from musicrec.als.half_step import HalfStep
from musicrec.bundle.bundle import Bundle
from musicrec.bundle.explain import ages
from musicrec.bundle.ids import Ids
from musicrec.bundle.manifest import CARD, NO_TIME, Fingerprint
from musicrec.bundle.query import rows_of_keys
from musicrec.bundle.write import Contents, track_arrays, write_bundle
from musicrec.errors import MusicRecError
from musicrec.interactions.factors import LARGEST_NORM, norms_of
from musicrec.interactions.id_columns import pair_keys
from musicrec.interactions.matrix import Interactions
from musicrec.params import NO_GROUPS
from musicrec.storage.outputs import MANIFEST, atomic_directory, output_folder
from musicrec.storage.parquet import LAST_PLAYED

ROUNDS = 1
MARK = "\nWhat follows is said of the model as it was trained.\n\n"
UPDATE_CARD = """\
# Updated model

{plays:,} new plays of {users:,} users and {tracks:,} tracks were added to a trained model, \
{new_users:,} of the users and {new_tracks:,} of the tracks new to it: update {number} since the \
training. Only their factors were solved again. Nobody has judged the updated model.
"""


def update(
    parent: Bundle,
    plays: pa.Table,
    output: str | os.PathLike[str],
    rounds: int = ROUNDS,
    groups: str = NO_GROUPS,
) -> dict[str, Any]:
    """Write a bundle of old and new plays; the same bytes for any number of threads.

    Parameters
    ----------
    plays : pyarrow.Table
        New plays in canonical form, one row a user and track: `user_id`, `track_id`, `count` and,
        for a bundle whose plays have times, `last_played`. Counts are added to those of the bundle.
        Without rows the output is a copy.
    rounds : int
        How often the touched users and then the touched tracks are solved; the users once more at
        the end, so that folding in their plays gives their factors.
    groups : str
        A table as `export.groups` names it; by default tracks keep their groups and names, and new
        ones have none.

    Returns
    -------
    dict
        What the manifest says of the update; empty for a copy.

    Raises
    ------
    MusicRecError
        An update added the same table before, times are missing, or no finite factors come out.
    """
    if not plays.num_rows:
        _copy(parent, output)
        return {}
    if parent.timed and LAST_PLAYED.name not in plays.column_names:
        raise MusicRecError(
            f"the plays of {parent.root} have times and the new ones have none; map "
            "data.columns.timestamp"
        )
    new_data = _fingerprint(plays)
    for name, known in parent.manifest.data.items():
        if known == new_data:
            raise MusicRecError(
                f"{parent.root}: has these very plays already ({name}), and would count them twice"
            )
    user_ids, users = _extended(parent.users, plays.column("user_id"))
    track_ids, items = _extended(parent.tracks, plays.column("track_id"))
    old, keys = parent.plays.keys(), pair_keys(users, items)
    together, position = np.unique(np.concatenate((old, keys)), return_inverse=True)
    counts = np.concatenate((parent.plays.counts, plays.column("count").to_numpy()))
    matrix = rows_of_keys(together, len(user_ids), len(track_ids))
    matrix = matrix._replace(counts=np.bincount(position, counts).astype(np.float32))
    times = None
    if parent.timed:
        times = np.full(len(together), NO_TIME)
        new_times = plays.column(LAST_PLAYED.name).fill_null(NO_TIME).to_numpy()
        np.maximum.at(times, position, np.concatenate((parent.last_played.counts, new_times)))
    old_ages = None if times is None else ages(times, int(times.max()))
    ratings = as_trained(matrix, parent.manifest.feedback, old_ages)
    factors = _solved(parent, ratings, (np.unique(users), np.unique(items)), rounds)
    manifest = parent.manifest
    before = manifest.updated or {}
    summary = {
        "parent": parent.digest,
        "number": before.get("number", 0) + 1,
        "plays": plays.num_rows,
        "users": len(np.unique(users)),
        "tracks": len(np.unique(items)),
        "new_users": len(user_ids) - len(parent.users),
        "new_tracks": len(track_ids) - len(parent.tracks),
        "rounds": rounds,
    }
    contents = Contents(
        *factors,
        plays=matrix,
        last_played=times,
        user_ids=user_ids,
        track_ids=track_ids,
        of_tracks=_of_tracks(parent, track_ids, groups),
    )
    about = {
        "als": manifest.als,
        "feedback": manifest.feedback,
        "data": manifest.data | {f"update-{summary['number']}": new_data},
        "updated": summary,
    }
    _, marked, card = bytes(parent.content.get(CARD, b"")).decode().rpartition(MARK)
    card = MARK + card if marked or (card and not before) else ""
    export = manifest.export if groups == NO_GROUPS else manifest.export.replace(groups=groups)
    write_bundle(output, contents, export, about, UPDATE_CARD.format(**summary) + card)
    return summary


def _copy(parent: Bundle, output: str | os.PathLike[str]) -> None:
    if output_folder(output).resolve() == parent.root.resolve():
        return
    with atomic_directory(output) as folder:
        for name in (MANIFEST, *parent.manifest.files):
            shutil.copyfile(parent.root / name, folder / name)


def _extended(ids: Ids, column: pa.ChunkedArray) -> tuple[pa.Array, np.ndarray]:
    """All ids, the new ones behind the old; and the index of every row, int64 array (n)."""
    given = column.cast(pa.string()).combine_chunks()
    found = ids.positions(given)
    fresh = pc.unique(given.filter(pa.array(found < 0)))
    fresh = fresh.take(pc.sort_indices(fresh))
    later = pc.index_in(given, value_set=fresh).fill_null(0).to_numpy(zero_copy_only=False)
    positions = np.where(found >= 0, found, later.astype(np.int64) + len(ids))
    return pa.concat_arrays([ids.to_arrow(), fresh]), positions


def _solved(
    parent: Bundle, ratings: Interactions, touched: tuple[np.ndarray, np.ndarray], rounds: int
) -> tuple[np.ndarray, np.ndarray]:
    """Factors of users and tracks after half steps over the touched rows of either."""
    rows = ratings.rows(touched[0]), ratings.transpose().rows(touched[1])
    users = _padded(parent.user_factors, ratings.n_users)
    items = _padded(parent.item_factors, ratings.n_items)
    for step in range(2 * rounds + 1):
        side = step % 2
        fixed, solved = (users, items) if side else (items, users)
        found = solved[touched[side]]
        HalfStep(rows[side], parent.manifest.als).solve(fixed, found)
        if not (norms_of(found) <= LARGEST_NORM).all():
            raise MusicRecError(
                "the new plays give no finite factors, or too long ones; are their counts right?"
            )
        solved[touched[side]] = found
    return users, items


def _padded(factors: np.ndarray, n: int) -> np.ndarray:
    return np.concatenate((factors, np.zeros((n - len(factors), factors.shape[1]), np.float32)))


def _of_tracks(parent: Bundle, track_ids: pa.Array, groups: str) -> dict[str, np.ndarray]:
    """Groups and names, of a table or those the tracks had."""
    if groups != NO_GROUPS:
        return track_arrays(groups, track_ids.to_pylist())
    ends = {"track_groups": -1, "track_name_starts": len(parent.arrays.get("track_name_text", ()))}
    kept = {}
    for name, array in parent.arrays.items():
        if name in ends:
            more = len(track_ids) - len(parent.tracks)
            kept[name] = np.concatenate((array, np.full(more, ends[name], array.dtype)))
        elif name.startswith(("group_id", "track_name")):
            kept[name] = array
    return kept


def _fingerprint(plays: pa.Table) -> Fingerprint:
    """Length and SHA-256 of the new plays as an Arrow stream."""
    sink = pa.BufferOutputStream()
    whole = plays.replace_schema_metadata().combine_chunks()
    with pa.ipc.new_stream(sink, whole.schema) as stream:
        stream.write_table(whole)
    content = sink.getvalue()
    return Fingerprint(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
