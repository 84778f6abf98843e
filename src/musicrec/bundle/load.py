"""Load a bundle: open, check and prepare everything that an answer will ever need."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from musicrec.als.fold_in import FoldIn
from musicrec.bundle.checks import (
    check_gram,
    check_ids,
    check_plays,
    check_sentinels,
    trained_with,
)
from musicrec.bundle.choose import Chooser
from musicrec.bundle.ids import Ids
from musicrec.bundle.manifest import MANIFEST
from musicrec.bundle.model import Model
from musicrec.bundle.reader import Files, opened
from musicrec.bundle.similar import Likeness
from musicrec.errors import MusicRecError
from musicrec.params import ALSParams, FeedbackParams
from musicrec.search.exact import ExactIndex, checked_factors


def load_model(folder: str | os.PathLike[str], verify: bool, in_memory: bool) -> Model:
    """Load what `musicrec.bundle.bundle.load_bundle` wraps; see there."""
    root = Path(folder).absolute()
    with opened(root, verify) as files:
        if not in_memory:
            return _prepared(files)
        with tempfile.TemporaryDirectory(prefix="musicrec-bundle-") as private:
            files.copy_to(Path(private))
            with opened(Path(private), verify=False) as copies:
                return _prepared(copies, root)


def load_content(content: dict[str, bytes], root: Path) -> Model:
    """Load a model from the content of its files, which a pickle carried."""
    with tempfile.TemporaryDirectory(prefix="musicrec-bundle-") as private:
        for name, data in content.items():
            (Path(private) / name).write_bytes(data)
        with opened(Path(private), verify=True) as files:
            return _prepared(files, root)


def _prepared(files: Files, root: Path | None = None) -> Model:
    where = str(files.root)
    manifest = files.manifest
    als = trained_with(manifest, ALSParams, f"{where}/{MANIFEST}")
    if als.rank != manifest.sizes.rank:
        raise MusicRecError(
            f"{where}/{MANIFEST}: factors of rank {manifest.sizes.rank} were not trained with "
            f"als.rank = {als.rank}; export it again"
        )
    arrays = {name: files.array(name) for name in manifest.arrays}
    users, tracks = (
        Ids.of(kind, *(arrays[f"{kind}_id_{part}"] for part in ("text", "starts", "order")))
        for kind in ("user", "track")
    )
    for ids in (users, tracks):
        check_ids(ids, where)
    users, tracks = users.prepared(), tracks.prepared()
    check_plays(arrays, where)
    for name in ("user_factors", "item_factors"):
        checked_factors(arrays[name], f"{where}/{name}.npy: factors")
    likeness = {side: Likeness(arrays[f"{side}_factors"]) for side in ("user", "item")}
    folds = {}
    for side, alike in likeness.items():
        gram = arrays[f"{side}_gram"]
        check_gram(gram, alike.squared_norms, f"{where}/{side}_gram.npy")
        folds[side] = FoldIn(arrays[f"{side}_factors"], als, gram)
    exact, annoy = ExactIndex(arrays["item_factors"]), files.index(arrays["item_factors"])
    check_sentinels(manifest.sentinels, arrays, (users, tracks), (exact, annoy), where)
    return Model(
        root=root or files.root,
        digest=files.digest,
        manifest=manifest,
        files=files,
        arrays=arrays,
        users=users,
        tracks=tracks,
        als=als,
        feedback=trained_with(manifest, FeedbackParams, f"{where}/{MANIFEST}"),
        chooser=Chooser(exact, annoy, arrays["listeners"]),
        users_alike=likeness["user"],
        tracks_alike=likeness["item"],
        fold_users=folds["item"],
        fold_tracks=folds["user"],
    )
