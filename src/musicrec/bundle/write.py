"""Write the serving bundle: all that a service needs of a trained model, in one folder.

What is in it, and what must hold, says `musicrec.bundle.manifest`. It is a function of the
indexed plays, the factors and the parameters: git revision and metrics are not, and are added by
`musicrec publish`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.als.gram import gram
from musicrec.bundle.manifest import (
    CARD,
    FORMAT,
    INDEX,
    NO_TIME,
    SENTINEL_K,
    Fingerprint,
    Manifest,
    Sentinel,
    Sizes,
    layout,
)
from musicrec.errors import MusicRecError, warn
from musicrec.interactions.factors import TRAINED_WITH, read_factors
from musicrec.interactions.id_columns import id_arrays, pair_keys, read_ids, read_sizes
from musicrec.interactions.matrix import Interactions, read_interactions
from musicrec.params import NO_GROUPS, ExportParams
from musicrec.search.annoy_index import AnnoyIndex, build_index, warn_of_another_build
from musicrec.search.exact import ExactIndex
from musicrec.storage.files import fingerprint, read_json, write_array, write_exact_json
from musicrec.storage.outputs import MANIFEST, atomic_directory
from musicrec.storage.parquet import (
    LAST_PLAYED,
    read_files,
    read_given,
    sound_parts,
    write_table,
)

SENTINELS = 5  # users whose answers the manifest holds
LIBRARIES = ("annoy", "musicrec", "numba", "numpy", "pyarrow")  # whose version matters to bytes


@dataclass(frozen=True)
class Contents:
    """What a bundle is made of: factors, training plays, ids, and what `track_arrays` returns.

    `last_played` (int64, seconds UTC or `NO_TIME`) says of each play when it was last; None where
    no time is known.
    """

    users: np.ndarray
    items: np.ndarray
    plays: Interactions
    last_played: np.ndarray | None
    user_ids: pa.Array
    track_ids: pa.Array
    of_tracks: Mapping[str, np.ndarray]

    def arrays(self) -> dict[str, np.ndarray]:
        """Every array of a bundle by its name; see `musicrec.bundle.manifest.layout`."""
        arrays = {
            "user_factors": self.users,
            "item_factors": self.items,
            "user_gram": gram(self.users),
            "item_gram": gram(self.items),
            "seen_indptr": self.plays.indptr,
            "seen_indices": self.plays.indices,
            "seen_counts": self.plays.counts,
            "listeners": self.plays.users_of(),
        }
        arrays["user_id_text"], arrays["user_id_starts"] = id_arrays(self.user_ids)
        arrays["track_id_text"], arrays["track_id_starts"] = id_arrays(self.track_ids)
        if self.last_played is not None:
            arrays["seen_last_played"] = self.last_played
        return arrays | dict(self.of_tracks)


def export_bundle(
    indexed: str | os.PathLike[str],
    factors: str | os.PathLike[str],
    output: str | os.PathLike[str],
    export: ExportParams,
) -> None:
    """Write the bundle of a trained model, from the outputs of the index and train stages.

    Raises
    ------
    MusicRecError
        The factors do not fit the index, the table of groups is wrong, or Annoy does not work on
        this system.
    """
    indexed, factors = Path(indexed), Path(factors)
    sizes = read_sizes(indexed / "sizes.json")
    user_factors, item_factors = read_factors(factors, sizes.n_users, sizes.n_items)
    track_ids = read_ids(indexed, "item").slice(0, sizes.n_items)
    contents = Contents(
        users=user_factors,
        items=item_factors,
        plays=read_interactions(indexed / "train", sizes.n_users, sizes.n_items),
        last_played=_last_played(sound_parts(indexed / "train")),
        user_ids=read_ids(indexed, "user").slice(0, sizes.n_users),
        track_ids=track_ids,
        of_tracks=track_arrays(export.groups, track_ids.to_pylist()),
    )
    data = fingerprints(sound_parts(indexed / "train"))
    about = read_json(factors / TRAINED_WITH)
    write_bundle(output, contents, export, {**about, "data": data})


def write_bundle(
    output: str | os.PathLike[str],
    contents: Contents,
    export: ExportParams,
    about: Mapping[str, Any],
    card: str | None = None,
) -> None:
    """Write a bundle, whole or not at all, perhaps with a model card.

    `about` has further fields of the manifest: `als`, `feedback`, `data` and, perhaps, `updated`.
    """
    warn_of_another_build()
    arrays = contents.arrays()
    with atomic_directory(output) as folder:
        for name, array in arrays.items():
            write_array(folder / f"{name}.npy", array)
        users, items = contents.plays.lengths, arrays["listeners"]
        for name, column, ids, plays in (
            ("user", "user_id", contents.user_ids, users),
            ("item", "track_id", contents.track_ids, items),
        ):
            numbers = pa.array(np.arange(len(ids), dtype=np.int32))
            table = pa.table({name: numbers, column: ids, "plays": pa.array(plays, pa.int64())})
            write_table(folder / f"{name}s.parquet", table)
        if card is not None:
            (folder / CARD).write_text(card, encoding="utf-8")
        build_index(contents.items, folder / INDEX, export)
        annoy = AnnoyIndex(folder / INDEX, contents.items, str(Path(output) / INDEX))
        sizes = _sizes(arrays)
        manifest = Manifest(
            format=FORMAT,
            sizes=sizes,
            arrays=layout(sizes),
            files=fingerprints(sorted(folder.iterdir())),
            export=export,
            versions={name: version(name) for name in LIBRARIES},
            sentinels=_sentinels(annoy, contents),
            **about,
        )
        write_manifest(folder / MANIFEST, manifest)


def _sizes(arrays: Mapping[str, np.ndarray]) -> Sizes:
    """Sizes from which the shapes of these arrays follow; None for arrays that are not there."""

    n_users, rank = arrays["user_factors"].shape
    texts = ("user_id", "track_id", "group_id", "track_name")
    return Sizes(
        n_users=n_users,
        n_items=len(arrays["item_factors"]),
        rank=rank,
        n_plays=len(arrays["seen_indices"]),
        n_groups=len(arrays["group_id_starts"]) - 1 if "group_id_starts" in arrays else None,
        timed=True if "seen_last_played" in arrays else None,
        **{f"{of}_bytes": len(arrays[f"{of}_text"]) for of in texts if f"{of}_text" in arrays},
    )


def _last_played(parts: list[Path]) -> np.ndarray | None:
    """Times of indexed plays in the order of users and tracks, None where they have none."""
    if LAST_PLAYED.name not in pq.read_schema(parts[0]).names:
        return None
    table = read_files(parts, ["user", "item", LAST_PLAYED.name]).combine_chunks()
    keys = pair_keys(*(table.column(name).to_numpy() for name in ("user", "item")))
    times: np.ndarray = table.column(LAST_PLAYED.name).fill_null(NO_TIME).to_numpy()
    return times[np.argsort(keys)]


def track_arrays(groups: str, tracks: list[str]) -> dict[str, np.ndarray]:
    """Read groups and names of tracks from `export.groups`, as arrays of a bundle.

    Raises
    ------
    MusicRecError
        The table has not these columns, gives a track two groups or names, or knows no track.
    """
    if groups == NO_GROUPS:
        return {}
    known = _read_groups(Path(groups))
    of_track = known["group"]
    names = sorted({of_track[track] for track in tracks if track in of_track})
    if not names:
        raise MusicRecError(f"export.groups = {groups}: none of its tracks is in the model")
    numbers = {name: number for number, name in enumerate(names)}
    of_tracks = [numbers.get(of_track.get(track, ""), -1) for track in tracks]
    if without := of_tracks.count(-1):
        warn(f"export.groups = {groups}: {without:,} of {len(tracks):,} tracks have no group there")
    arrays = {"track_groups": np.array(of_tracks, np.int32)}
    arrays["group_id_text"], arrays["group_id_starts"] = id_arrays(pa.array(names))
    if "name" in known:
        named = pa.array([known["name"].get(track, "") for track in tracks], pa.string())
        arrays["track_name_text"], arrays["track_name_starts"] = id_arrays(named)
    return arrays


def _read_groups(path: Path) -> dict[str, dict[str, str]]:
    """Columns `group` and, if there, `name` by track, of Parquet or of text by commas or tabs."""
    columns = ("track_id", "group", "name")
    try:
        table = read_given(path, columns)
        tracks, *values = (
            table.column(name).cast(pa.string()).to_pylist()
            for name in columns
            if name != "name" or name in table.column_names
        )
    except (pa.ArrowInvalid, KeyError, UnicodeDecodeError) as error:
        raise MusicRecError(
            f"export.groups = {path}: not a table with the columns track_id and group ({error})"
        ) from None
    known: dict[str, dict[str, str]] = {}
    for column, column_values in zip(columns[1:], values, strict=False):
        found = known[column] = {}
        for track, value in zip(tracks, column_values, strict=True):
            if value is not None and found.setdefault(track, value) != value:
                raise MusicRecError(
                    f"export.groups = {path}: track {track!r} has the {column}s "
                    f"{found[track]!r} and {value!r}; give each track one"
                )
    return known


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest; numbers keep every digit, which a parameter may need."""
    content = manifest.model_dump(mode="json", exclude_none=True)
    write_exact_json(path, content | manifest.parameters())  # whose null means something


def fingerprints(paths: list[Path]) -> dict[str, Fingerprint]:
    """Length and SHA-256 of files, by name."""
    return {path.name: Fingerprint(**fingerprint(path)) for path in paths}


def _sentinels(annoy: AnnoyIndex, contents: Contents) -> tuple[Sentinel, ...]:
    """Ask for users spread over the catalogue what a loaded bundle must answer as well."""
    exact = ExactIndex(contents.items)
    known = np.flatnonzero(contents.users.any(axis=1))
    chosen = known[np.linspace(0, len(known) - 1, min(SENTINELS, len(known))).astype(int)]

    def names(items: np.ndarray) -> tuple[str, ...]:
        return tuple(contents.track_ids.take(pa.array(items)).to_pylist())

    def answered(user: int) -> Sentinel:
        vector, user_id = contents.users[user], contents.user_ids[user].as_py()
        best, _ = exact.search_one(vector, SENTINEL_K, contents.plays.row(user))
        near = annoy.probe(vector, SENTINEL_K)
        return Sentinel(user=user_id, exact=names(best), near=names(near))

    return tuple(map(answered, chosen.tolist()))
