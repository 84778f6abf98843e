"""Does what was read hang together? Everything a kernel will follow is checked before it may."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from pydantic import ValidationError

from musicrec.bundle.ids import Ids
from musicrec.bundle.kernels import plays_are_sound
from musicrec.bundle.manifest import Manifest, Sentinel
from musicrec.bundle.write import SENTINEL_K, SENTINEL_NODES
from musicrec.errors import MusicRecError
from musicrec.params import Block
from musicrec.search.annoy_index import AnnoyIndex
from musicrec.search.exact import ExactIndex

GRAM_TOLERANCE = 1e-6  # relative: sums in another order
ENOUGH = 0.5  # of what Annoy found at export must be found again; processors round differently
B = TypeVar("B", bound=Block)


def check_ids(ids: Ids, where: str) -> None:
    """Raise MusicRecError unless every id is there, once, in UTF-8."""
    if not ids.sound():
        raise MusicRecError(f"{where}: the {ids.kind} ids are damaged; export the bundle again")


def check_plays(arrays: dict[str, np.ndarray], where: str) -> None:
    """Raise MusicRecError unless the plays are rows of known tracks, and popularity is theirs."""
    names = ("seen_indptr", "seen_indices", "seen_counts", "listeners")
    if not plays_are_sound(*(arrays[name] for name in names)):
        raise MusicRecError(
            f"{where}: seen_*.npy and listeners.npy hold no training plays; export the bundle again"
        )


def check_gram(matrix: np.ndarray, squared_norms: float, where: str) -> None:
    """Raise MusicRecError unless this can be the Gram matrix of factors with these norms."""
    trace = float(np.trace(matrix))
    sound = np.isfinite(matrix).all() and np.array_equal(matrix, matrix.T)
    sound = sound and abs(trace - squared_norms) <= GRAM_TOLERANCE * squared_norms
    if sound:
        try:
            np.linalg.cholesky(matrix + max(GRAM_TOLERANCE * trace, 1e-300) * np.eye(len(matrix)))
        except np.linalg.LinAlgError:
            sound = False
    if not sound:
        raise MusicRecError(f"{where}: not the Gram matrix of the factors; export the bundle again")


def trained_with(manifest: Manifest, block: type[B], where: str) -> B:
    """Read a block of parameters that the manifest holds."""
    values: dict[str, Any] = getattr(manifest, block.block)
    try:
        return block.model_validate(values)
    except ValidationError as error:
        mistake = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in (block.block, *mistake["loc"]))
        raise MusicRecError(f"{where}: {place}: {mistake['msg']}; export it again") from None


def check_sentinels(
    sentinels: tuple[Sentinel, ...],
    arrays: dict[str, np.ndarray],
    ids: tuple[Ids, Ids],
    searches: tuple[ExactIndex, AnnoyIndex],
    where: str,
) -> None:
    """Raise MusicRecError unless the sentinel users get their answers again.

    Parameters
    ----------
    ids : Ids of users, Ids of tracks
    searches : ExactIndex, AnnoyIndex
    """
    users, tracks = ids
    exact, annoy = searches
    for sentinel in sentinels:
        user = users.index(sentinel.user)
        if user < 0 or not arrays["user_factors"][user].any():
            raise MusicRecError(f"{where}: user {sentinel.user!r} of its sentinels is not there")
        query = arrays["user_factors"][user]
        indptr = arrays["seen_indptr"]
        seen = arrays["seen_indices"][indptr[user] : indptr[user + 1]]
        best, _ = exact.search_one(query, SENTINEL_K, seen)
        if tuple(map(tracks.text_of, best)) != sentinel.exact:
            raise MusicRecError(
                f"{where}: user {sentinel.user!r} gets other tracks than at export: the files are "
                "not those of one model; export the bundle again"
            )
        found = annoy.near(query, SENTINEL_K, SENTINEL_NODES)
        again = set(map(tracks.text_of, found)) & set(sentinel.near)
        if len(again) < ENOUGH * len(sentinel.near):
            raise MusicRecError(
                f"{where}: the Annoy index finds {len(again)} of {len(sentinel.near)} neighbours "
                "known from its export; install Annoy anew, built from source on this system"
            )
