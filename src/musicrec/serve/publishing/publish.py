"""Publish a bundle: the same files, and beside them what does not follow from its inputs.

The export stage must give the same bytes for the same plays, factors and parameters, and must not
wait for `evaluate`. So the git revision, which changes with every commit, and the metrics are
added here, to a copy.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from musicrec.errors import MusicRecError
from musicrec.export.bundle import write_manifest
from musicrec.export.manifest import CARD, MANIFEST, Fingerprint, parse_manifest
from musicrec.serve.bundle import load_bundle
from musicrec.serve.publishing.card import model_card
from musicrec.storage.files import atomic_directory, fingerprint

INTERVALS, DIFFERENCES = "plots/evaluate/intervals.json", "plots/evaluate/differences.json"
DATA = "metrics/data.json"


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
        The bundle is damaged, or the metrics are missing or those of other factors.
    """
    source, root = Path(bundle), Path(project)
    load_bundle(source, verify=True)
    manifest = parse_manifest((source / MANIFEST).read_bytes(), str(source / MANIFEST))
    if manifest.published is not None:
        raise MusicRecError(f"{source}: published already; publish what dvc repro export wrote")
    _check_same_factors(root)
    facts = {
        **_revision(root),
        "intervals": _read(root / INTERVALS),
        "differences": _read(root / DIFFERENCES),
        "data": _read(root / DATA),
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


def _check_same_factors(root: Path) -> None:
    """Raise MusicRecError unless dvc.lock says that export and evaluate read the same factors."""
    path = root / "dvc.lock"
    try:
        stages = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
        read = {
            stage: next(
                dep["md5"] for dep in stages[stage]["deps"] if dep["path"] == "data/factors"
            )
            for stage in ("export", "evaluate")
        }
    except (OSError, yaml.YAMLError, LookupError, TypeError, StopIteration):
        raise MusicRecError(f"{path}: does not say what export and evaluate read") from None
    if read["export"] != read["evaluate"]:
        raise MusicRecError(
            f"{path}: evaluate judged other factors than export packed; run dvc repro"
        )


def _revision(root: Path) -> dict[str, Any]:
    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", root, *words], capture_output=True, text=True)
        if done.returncode:
            raise MusicRecError(f"{root}: no git revision ({' '.join(done.stderr.split())})")
        return done.stdout.strip()

    return {
        "revision": git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(git("status", "--porcelain", "--untracked-files=no")),
    }


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MusicRecError(
            f"{path}: missing; run dvc repro evaluate, or dvc pull where it ran"
        ) from None
    except ValueError:
        raise MusicRecError(f"{path}: not JSON; run dvc repro evaluate") from None
