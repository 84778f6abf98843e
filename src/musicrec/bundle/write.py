"""Write the serving bundle: all that a service needs of a trained model, in one folder.

What is in it, and what must hold, says `musicrec.bundle.manifest`. It is a function of the
indexed plays, the factors and the parameters: git revision and metrics are not, and are added by
`musicrec publish`.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from musicrec.als.gram import gram
from musicrec.bundle.ids import id_arrays
from musicrec.bundle.manifest import (
    FORMAT,
    INDEX,
    MANIFEST,
    SENTINEL_K,
    Fingerprint,
    Manifest,
    Sentinel,
    Sizes,
    layout,
)
from musicrec.errors import MusicRecError
from musicrec.interactions.factors import read_factors, read_trained_with
from musicrec.interactions.matrix import Interactions, read_interactions, read_sizes
from musicrec.params import NO_GROUPS, ExportParams
from musicrec.search.annoy_build import warn_of_another_build
from musicrec.search.annoy_index import AnnoyIndex, build_index, load_index
from musicrec.search.exact import ExactIndex
from musicrec.storage.files import fingerprint, write_array, write_exact_json
from musicrec.storage.outputs import atomic_directory
from musicrec.storage.parquet import read_files, read_table, sound_parts, write_table

SENTINELS = 5  # users whose answers the manifest holds
LIBRARIES = ("annoy", "musicrec", "numba", "numpy", "pyarrow")  # whose version matters to bytes


def export_bundle(
    indexed: str | os.PathLike[str],
    factors: str | os.PathLike[str],
    output: str | os.PathLike[str],
    export: ExportParams,
) -> None:
    """Write the bundle of a trained model.

    Parameters
    ----------
    indexed, factors : path
        Outputs of the index and train stages.
    output : path
        Folder to write; it appears whole or not at all.
    export : ExportParams

    Raises
    ------
    MusicRecError
        The factors do not fit the index, the table of groups is wrong, or Annoy does not work on
        this system.
    """
    warn_of_another_build()
    indexed, factors = Path(indexed), Path(factors)
    sizes = read_sizes(indexed / "sizes.json")
    user_factors, item_factors = read_factors(factors, sizes.n_users, sizes.n_items)
    seen = read_interactions(indexed / "train", sizes.n_users, sizes.n_items)
    ids = {
        "user_id": read_table(indexed / "users.parquet").slice(0, sizes.n_users),
        "track_id": read_table(indexed / "items.parquet").slice(0, sizes.n_items),
    }
    arrays = _arrays(user_factors, item_factors, seen, ids)
    if export.groups != NO_GROUPS:
        arrays |= _groups(Path(export.groups), ids["track_id"].column("track_id").to_pylist())
    with atomic_directory(output) as folder:
        for name, array in arrays.items():
            write_array(folder / f"{name}.npy", array)
        write_table(folder / "users.parquet", ids["user_id"].combine_chunks())
        write_table(folder / "items.parquet", ids["track_id"].combine_chunks())
        build_index(item_factors, folder / INDEX, export)
        annoy = load_index(folder / INDEX, item_factors, str(Path(output) / INDEX))
        known = Sizes(
            n_users=sizes.n_users,
            n_items=sizes.n_items,
            rank=item_factors.shape[1],
            n_plays=len(seen.indices),
            user_id_bytes=len(arrays["user_id_text"]),
            track_id_bytes=len(arrays["track_id_text"]),
            n_groups=len(arrays["group_id_starts"]) - 1 if "track_groups" in arrays else None,
            group_id_bytes=len(arrays["group_id_text"]) if "track_groups" in arrays else None,
        )
        manifest = Manifest(
            format=FORMAT,
            sizes=known,
            arrays=layout(known),
            files=_fingerprints(sorted(folder.iterdir())),
            **read_trained_with(factors),
            export=export.model_dump(),
            data=_fingerprints(sound_parts(indexed / "train")),
            versions={name: version(name) for name in LIBRARIES},
            sentinels=_sentinels(annoy, user_factors, item_factors, seen, ids),
        )
        write_manifest(folder / MANIFEST, manifest)


def _arrays(
    user_factors: np.ndarray, item_factors: np.ndarray, seen: Interactions, ids: dict[str, pa.Table]
) -> dict[str, np.ndarray]:
    """Every array of a bundle by its name; see `musicrec.bundle.manifest.layout`."""
    arrays = {
        "user_factors": user_factors,
        "item_factors": item_factors,
        "user_gram": gram(user_factors),
        "item_gram": gram(item_factors),
        "seen_indptr": seen.indptr,
        "seen_indices": seen.indices,
        "seen_counts": seen.counts,
        "listeners": seen.users_of(),
    }
    for column, table in ids.items():
        text, starts, order = id_arrays(table.column(column))
        arrays |= {
            f"{column}_text": text,
            f"{column}_starts": starts,
            f"{column}_order": order,
        }
    return arrays


def _groups(path: Path, tracks: list[str]) -> dict[str, np.ndarray]:
    """Read the groups of tracks as arrays of a bundle.

    Raises
    ------
    MusicRecError
        The table has not the two columns, gives a track two groups, or knows no track of `tracks`.
    """
    of_track: dict[str, str] = {}
    for track, group in zip(*_two_columns(path), strict=True):
        if group is not None and of_track.setdefault(track, group) != group:
            raise MusicRecError(
                f"export.groups = {path}: track {track!r} is of the groups {of_track[track]!r} and "
                f"{group!r}; give each track one"
            )
    names = sorted({of_track[track] for track in tracks if track in of_track})
    if not names:
        raise MusicRecError(f"export.groups = {path}: none of its tracks is in the model")
    numbers = {name: number for number, name in enumerate(names)}
    text, starts, _ = id_arrays(pa.chunked_array([names]))
    groups = [numbers.get(of_track.get(track, ""), -1) for track in tracks]
    return {
        "track_groups": np.array(groups, np.int32),
        "group_id_text": text,
        "group_id_starts": starts,
    }


def _two_columns(path: Path) -> tuple[list[str], list[str | None]]:
    """Columns `track_id` and `group` of Parquet, or of text by commas or tabs."""
    columns = ("track_id", "group")
    try:
        if path.suffix == ".parquet":
            table = read_files([path], columns)
        else:
            with path.open(encoding="utf-8") as lines:
                delimiter = "\t" if "\t" in lines.readline() else ","
            types = pa_csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string()))
            options = pa_csv.ParseOptions(delimiter=delimiter)
            table = pa_csv.read_csv(path, parse_options=options, convert_options=types)
        tracks, groups = (table.column(name).cast(pa.string()).to_pylist() for name in columns)
    except (pa.ArrowInvalid, KeyError, UnicodeDecodeError) as error:
        raise MusicRecError(
            f"export.groups = {path}: not a table with the columns track_id and group ({error})"
        ) from None
    return tracks, groups


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest; numbers keep every digit, which a parameter may need."""
    content = manifest.model_dump(mode="json", exclude_none=True)
    content["als"], content["feedback"] = manifest.als, manifest.feedback  # null means something
    write_exact_json(path, content)


def _fingerprints(paths: list[Path]) -> dict[str, Fingerprint]:
    return {path.name: Fingerprint(**fingerprint(path)) for path in paths}


def _sentinels(
    annoy: AnnoyIndex,
    user_factors: np.ndarray,
    item_factors: np.ndarray,
    seen: Interactions,
    ids: dict[str, pa.Table],
) -> tuple[Sentinel, ...]:
    """Ask for users spread over the catalogue what a loaded bundle must answer as well."""
    exact = ExactIndex(item_factors)
    known = np.flatnonzero(user_factors.any(axis=1))
    chosen = known[np.linspace(0, len(known) - 1, min(SENTINELS, len(known))).astype(int)]
    user_ids, track_ids = ids["user_id"].column("user_id"), ids["track_id"].column("track_id")

    def names(items: np.ndarray) -> tuple[str, ...]:
        return tuple(track_ids.take(pa.array(items)).to_pylist())

    found: list[Sentinel] = []
    for user in chosen.tolist():
        best, _ = exact.search_one(user_factors[user], SENTINEL_K, seen.row(user))
        near = annoy.probe(user_factors[user], SENTINEL_K)
        found.append(Sentinel(user=user_ids[user].as_py(), exact=names(best), near=names(near)))
    return tuple(found)
