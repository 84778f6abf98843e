"""Publish a bundle: the same files, and beside them what does not follow from its inputs.

The export stage must give the same bytes for the same plays, factors and parameters, and must not
wait for `evaluate`. So the git revision, which changes with every commit, and the metrics are
added here, to a copy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from musicrec.bundle.bundle import load_bundle
from musicrec.bundle.manifest import CARD, MANIFEST, Fingerprint, parse_manifest
from musicrec.bundle.publishing.card import model_card
from musicrec.bundle.write import write_manifest
from musicrec.errors import MusicRecError
from musicrec.process.sentences import without_passwords
from musicrec.project.revisions import WORKSPACE, Revision
from musicrec.project.staleness import why_stale
from musicrec.storage.files import atomic_directory, fingerprint

FACTS = {
    "intervals": "plots/evaluate/intervals.json",
    "differences": "plots/evaluate/differences.json",
    "data": "metrics/data.json",
    "quality": "metrics/evaluate.json",
}
SETTINGS = {  # which plays the model learned from and was judged on
    "data": {"source", "protocol", "validation_users", "test_users", "held_out"},
    "downsample": {"fraction"},
    "evaluate": {"split"},
}
BUNDLE = "data/bundle"
STAGES = ("export", "evaluate")  # whose outputs are published


def publish(
    bundle: str | os.PathLike[str],
    project: str | os.PathLike[str],
    output: str | os.PathLike[str],
) -> list[str]:
    """Copy a sound bundle, with git revision, metrics and a model card.

    Parameters
    ----------
    bundle : path
        What the export stage wrote.
    project : path
        Checkout whose `evaluate` stage judged the same factors.
    output : path
        Folder to write; it appears whole or not at all.

    Returns
    -------
    list of str
        Baselines that the model is not shown to beat by its MAP, `evaluate`'s first metric.

    Raises
    ------
    MusicRecError
        The bundle is damaged, or not what the checkout exported; the metrics are missing, or
        stages would have to run again before they are those of this code and these parameters.
    """
    source = Path(bundle)
    load_bundle(source, verify=True)
    manifest = parse_manifest((source / MANIFEST).read_bytes(), str(source / MANIFEST))
    if manifest.published is not None:
        raise MusicRecError(f"{source}: published already; publish what dvc repro export wrote")
    checkout = Revision(WORKSPACE, project)
    if stale := why_stale(checkout, STAGES):
        raise MusicRecError(f"nothing to publish: {stale}")
    _require_exported(source, checkout)
    facts = {
        **_revision(checkout.root),
        "settings": _settings(checkout.read_yaml("params.yaml")),
        **{name: _read(checkout, path) for name, path in FACTS.items()},
    }
    told = manifest.model_copy(update={"published": facts})
    with atomic_directory(output) as folder:
        for name in manifest.files:
            shutil.copyfile(source / name, folder / name)
        (folder / CARD).write_text(model_card(told), encoding="utf-8")
        files = manifest.files | {CARD: Fingerprint(**fingerprint(folder / CARD))}
        write_manifest(folder / MANIFEST, told.model_copy(update={"files": files}))
        load_bundle(folder, verify=True)
    rows = facts["differences"]
    return [
        row["against"]
        for row in rows
        if row["metric"] == rows[0]["metric"] and not row["shown_higher"]
    ]


def _require_exported(source: Path, project: Revision) -> None:
    """Stop where a bundle is not the one that the project's dvc.lock records."""
    content = project.read(f"{BUNDLE}/{MANIFEST}")
    if content is None or content != (source / MANIFEST).read_bytes():
        raise MusicRecError(
            f"{source}: not the bundle that {project.root} exported; publish its {BUNDLE}, or "
            "name with --project the checkout that this bundle is of"
        )


def _revision(root: str) -> dict[str, Any]:
    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", root, *words], capture_output=True, text=True)
        if done.returncode:
            raise MusicRecError(f"{root}: no git revision ({' '.join(done.stderr.split())})")
        return done.stdout.strip()

    return {
        "revision": git("rev-parse", "HEAD"),
        "committed": git("log", "-1", "--format=%cs"),
        "uncommitted_changes": bool(git("status", "--porcelain", "--untracked-files=no")),
    }


def _settings(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters that say which plays the model learned from and was judged on."""
    return {
        f"{block}.{name}": without_passwords(value) if isinstance(value, str) else value
        for block, names in SETTINGS.items()
        for name, value in params.get(block, {}).items()
        if name in names
    }


def _read(project: Revision, path: str) -> Any:
    content = project.read_json(path)
    if not content:
        raise MusicRecError(f"{path}: missing; run dvc repro evaluate, or dvc pull where it ran")
    return content
