"""Lists as files: those that evaluate keeps, those of any other model, and TREC's format.

A list is rows of `user_id`, `position` from 1, `track_id` and `score`.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.errors import MusicRecError
from musicrec.interactions.held_out import HeldOut
from musicrec.interactions.id_columns import pair_keys
from musicrec.params import EvaluateParams
from musicrec.storage.outputs import atomic_path
from musicrec.storage.parquet import read_given

COLUMNS = ("user_id", "position", "track_id", "score")


def lists_table(held_out: HeldOut, lists: np.ndarray, scores: np.ndarray) -> pa.Table:
    """Lay lists out as rows, by user id and position.

    Parameters
    ----------
    held_out : HeldOut
    lists : int32 array (n, length)
        Item ids, padded with -1.
    scores : float32 array (n, length)
    """
    order = pc.sort_indices(held_out.user_ids).to_numpy().astype(np.int32)
    row, position = np.nonzero(lists[order] >= 0)
    users = order[row]
    tracks = pa.array(lists[users, position])
    columns = [
        pa.DictionaryArray.from_arrays(pa.array(users), held_out.user_ids),
        pa.array((position + 1).astype(np.int32)),
        pa.DictionaryArray.from_arrays(tracks, held_out.track_ids),
        pa.array(scores[users, position]),
    ]
    return pa.table(columns, names=list(COLUMNS))


def read_lists(
    path: str | os.PathLike[str], held_out: HeldOut, params: EvaluateParams
) -> tuple[np.ndarray, list[str]]:
    """Read anybody's lists as evaluate would have made them, and say what was wrong with them.

    In order of `position`, or of falling `score` (ties: the lower item id) where there is none.
    Repeated tracks, and seen ones where `evaluate.seen` excludes them, are taken out, and later
    ones move up. Tracks that training does not know stay, as misses.

    Returns
    -------
    lists : int32 array (n, max(params.k))
        Padded with -1; a track that no split knows has the id n_all_items.
    notes : list of str
        Counts, in sentences.

    Raises
    ------
    MusicRecError
        A column is missing or has no value somewhere, or nobody in it is held out.
    """
    table, order_by = _read(Path(path))
    if not table.num_rows:
        raise MusicRecError(f"{path}: has no rows")
    for name in table.column_names:
        empty = pc.sum(pc.is_null(table.column(name), nan_is_null=True)).as_py()
        if empty:
            raise MusicRecError(f"{path}: {name} is empty in {empty:,} of {table.num_rows:,} rows")
    kind = table.schema.field(order_by).type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        first = table.column(order_by)[0].as_py()
        raise MusicRecError(f"{path}: {order_by} is {kind}, not a number, first {first!r}")
    of_users, of_tracks = (table.column(i).cast(pa.string()).combine_chunks() for i in (0, 1))
    place = pc.index_in(of_users, held_out.user_ids)
    ours = pc.is_valid(place).to_numpy(zero_copy_only=False)
    if not ours.any():
        raise MusicRecError(
            f"{path}: none of its users is held out, such as {of_users[0].as_py()!r} where "
            f"{held_out.split} has {held_out.user_ids[0].as_py()!r}; write ids as data.source does"
        )
    n_others = pc.count_distinct(of_users.filter(pa.array(~ours))).as_py()
    users = place.drop_null().to_numpy()
    encoded = of_tracks.filter(pa.array(ours)).dictionary_encode()
    texts = encoded.indices.to_numpy()
    found = pc.index_in(encoded.dictionary, held_out.track_ids)
    items = pc.fill_null(found, len(held_out.track_ids)).to_numpy()[texts]
    key = table.column(order_by).to_numpy()[ours].astype(np.float64)
    key = key if order_by == "position" else -key
    order = np.lexsort((items, key, users))
    users, items, texts, key = users[order], items[order], texts[order], key[order]
    tied = (np.diff(users) == 0) & (np.diff(key) == 0) & (np.diff(texts) != 0)
    n_tied = int(np.sum(tied)) if order_by == "position" else 0
    first = np.zeros(len(users), bool)
    first[np.unique(pair_keys(users, texts), return_index=True)[1]] = True
    seen = np.zeros(len(users), bool)
    if params.seen == "exclude":
        seen = np.isin(pair_keys(users, items), held_out.history.keys())
    users, items = users[first & ~seen], items[first & ~seen]
    counts = np.bincount(users, minlength=len(held_out.users))
    position = np.arange(len(users)) - np.repeat(np.cumsum(counts) - counts, counts)
    length = max(params.k)
    lists = np.full((len(counts), length), -1, np.int32)
    kept = position < length
    lists[users[kept], position[kept]] = items[kept]
    said = {
        "users who are not held out, ignored": n_others,
        "held-out users without a list, judged by an empty one": int(np.sum(counts == 0)),
        f"lists shorter than {length}, the rest misses": int(np.sum(counts < length)),
        "tracks repeated in a list, left out": int(np.sum(~first)),
        "tracks at the position of another one, ordered by number of listeners": n_tied,
        "tracks of the user's history, left out (evaluate.seen)": int(np.sum(seen & first)),
        "tracks that training does not know, misses": int(np.sum(items >= held_out.train.n_items)),
    }
    return lists, [f"{what}: {number:,}" for what, number in said.items() if number]


def _read(path: Path) -> tuple[pa.Table, str]:
    """Read the rows of lists, and say by which column they are ordered."""
    parts = [path] if path.is_file() else sorted(path.glob("*.parquet"))
    if not parts:
        what = "no Parquet file there" if path.is_dir() else "no such file"
        raise MusicRecError(f"{path}: {what}")
    try:
        table = pa.concat_tables([read_given(part, COLUMNS[::2]) for part in parts])
    except (pa.ArrowException, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise MusicRecError(f"{path}: no table, CSV, TSV or Parquet ({reason})") from None
    found = table.column_names
    order = next((name for name in ("position", "score") if name in found), "position or score")
    names = ["user_id", "track_id", order]
    if missing := [name for name in names if name not in found]:
        raise MusicRecError(
            f"{path}: has no column {missing[0]}, only {', '.join(found)}; lists have user_id, "
            "track_id, and position or score"
        )
    return table.select(names), order


def write_trec(folder: Path, held_out: HeldOut, lists: np.ndarray, name: str) -> None:
    """Write `run.txt` and `qrels.txt` for trec_eval, pytrec_eval, ranx or ir_measures.

    The score of a track is minus its position, so that all of them keep the order.

    Raises
    ------
    MusicRecError
        An id holds white space, which ends a word of these files.
    """
    users, tracks = held_out.user_ids.to_pylist(), held_out.track_ids.to_pylist()
    unknown = "unknown-"  # begins what stands for a track that no split knows: no track's id
    while any(track.startswith(unknown) for track in tracks):
        unknown += "-"
    for text in (name, *users, *tracks):
        if text.split() != [text]:
            raise MusicRecError(f"{text!r} holds white space, which no id has in TREC's files")
    if folder.is_file():
        raise MusicRecError(f"{folder}: is a file; name a folder")
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "run.txt") as path, path.open("w", encoding="utf-8") as file:
        for user, row in zip(users, lists, strict=True):
            for rank, item in enumerate(row[row >= 0].tolist(), start=1):
                track = tracks[item] if item < len(tracks) else f"{unknown}{rank}"
                file.write(f"{user} Q0 {track} {rank} {-rank} {name}\n")
    with atomic_path(folder / "qrels.txt") as path, path.open("w", encoding="utf-8") as file:
        for place, user in enumerate(users):
            for item in held_out.truth.row(place).tolist():
                file.write(f"{user} 0 {tracks[item]} 1\n")
