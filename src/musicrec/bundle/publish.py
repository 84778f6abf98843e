"""Publish a bundle: the same files, and beside them what does not follow from its inputs.

These are the git revision, which changes with every commit, and the metrics, for which the export
stage does not wait.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from musicrec.baselines.lists import model_title
from musicrec.bundle.bundle import load_bundle
from musicrec.bundle.manifest import CARD, Manifest
from musicrec.bundle.write import fingerprints, write_manifest
from musicrec.errors import MusicRecError, warn, without_passwords
from musicrec.formatting import Table, parameter
from musicrec.metrics.definitions import split_figures
from musicrec.metrics.intervals import CONFIDENCE
from musicrec.project import WORKSPACE, Revision, why_stale
from musicrec.storage.files import read_json
from musicrec.storage.outputs import MANIFEST, atomic_directory, is_folder_of_ours, output_folder

FACTS = {
    "intervals": "plots/evaluate/intervals.json",
    "differences": "plots/evaluate/differences.json",
    "data": "metrics/data.json",
    "quality": "metrics/evaluate.json",
}
OF_USERS = {"validation_users", "test_users", "held_out", "held_out_by"}  # who hold plays out
SETTINGS = {  # which plays the model learned from and was judged on
    "data": {"source", "protocol", *OF_USERS, "validation_from", "test_from", "gap", "since"},
    "downsample": {"fraction"},
    "evaluate": {"split"},
}
BUNDLE = "data/bundle"
STAGES = ("export", "evaluate")  # whose outputs are published
FLATTERED = (
    " Parameters are usually chosen by these very users, which flatters the model a little; "
    "`evaluate.split=test` judges it on others."
)
MODEL_CARD = """\
# Model card

Recommends tracks to listeners from their play counts: alternating least squares on implicit \
feedback.
Git revision `{revision}` of {committed}{changed}.

## Data

{sizes.n_plays:,} training plays of {sizes.n_users:,} users and {sizes.n_items:,} tracks. \
The plays as `ingest` found them:

{data}

How they were split, and which share was kept:

{settings}

## Training

{training}

## How good it is

On the held-out plays of {judged} {split} users, with {confidence} bootstrap intervals over users.\
{flattered}

{metrics}

{verdicts}

## Limits

- A play is taken for liking, and no play for not knowing: nothing here knows dislike.
- Metrics on held-out plays reward what people would have played anyway; they do not say what a
  listener thinks of a recommendation.
- Tracks that nobody played in training are never recommended, tracks with few listeners seldom.
- The training plays of every user are in the bundle: treat it as personal data.
- `similar` and `explain` describe the model, not the music.
"""


def publish(
    bundle: str | os.PathLike[str],
    project: str | os.PathLike[str],
    output: str | os.PathLike[str],
) -> list[str]:
    """Copy a verified bundle that the `project` exported, with git revision, metrics and a card.

    The folder `output` appears whole or not at all. Returns the baselines that the model is not
    shown to beat by its MAP, `evaluate`'s first metric.

    Raises
    ------
    MusicRecError
        The bundle is damaged, or not what the checkout exported; the metrics are missing, or
        stages would have to run again before they are those of this code and these parameters.
    """
    output_folder(output, is_published)
    source = Path(bundle)
    manifest = load_bundle(source).manifest
    if manifest.published is not None:
        raise MusicRecError(f"{source}: published already; publish what dvc repro export wrote")
    if manifest.updated is not None:
        raise MusicRecError(
            f"{source}: made by musicrec update and judged by nobody; publish the bundle it was "
            "made of, or copy the folder"
        )
    checkout = Revision(WORKSPACE, project)
    if stale := why_stale(checkout, STAGES):
        raise MusicRecError(f"nothing to publish: {stale}")
    content = checkout.read(f"{BUNDLE}/{MANIFEST}")
    if content is None or content != (source / MANIFEST).read_bytes():
        raise MusicRecError(
            f"{source}: not the bundle that {checkout.root} exported; publish its {BUNDLE}, or "
            "name with --project the checkout that this bundle is of"
        )
    facts = {
        "revision": checkout.git("rev-parse", "HEAD"),
        "committed": checkout.git("log", "-1", "--format=%cs"),
        "uncommitted_changes": bool(checkout.git("status", "--porcelain", "--untracked-files=no")),
        "settings": _settings(checkout.read_yaml("params.yaml")),
        **{name: _read(checkout, path) for name, path in FACTS.items()},
    }
    _warn_of_unknown(checkout, facts["settings"])
    published = manifest.model_copy(update={"published": facts})
    with atomic_directory(output, is_published) as folder:
        for name in manifest.files:
            shutil.copyfile(source / name, folder / name)
        (folder / CARD).write_text(model_card(published), encoding="utf-8")
        files = manifest.files | fingerprints([folder / CARD])
        write_manifest(folder / MANIFEST, published.model_copy(update={"files": files}))
        load_bundle(folder)
    rows = [row for row in facts["differences"] if not row["shown_higher"]]
    first = facts["differences"][0]["metric"]
    return [row["against"] for row in rows if row["metric"] == first]


def model_card(manifest: Manifest) -> str:
    """Write the card of a published bundle (Mitchell et al., 2019), as Markdown."""
    facts = manifest.published or {}
    figures = [(key, _figure(value)) for key, value in facts["data"].items()]
    split = facts["settings"].get("evaluate.split", "validation")
    value = "{value:.4f} ({low:.4f} to {high:.4f})".format_map
    change = "{difference:+.4f} ({low:+.4f} to {high:+.4f})".format_map
    metrics = [(model_title(r["model"]), r["metric"], value(r)) for r in facts["intervals"]]
    verdicts = []
    for row in facts["differences"]:
        otherwise = "worse" if row["high"] < 0 else "not shown to be better"
        verdict = "better" if row["shown_higher"] else otherwise
        verdicts.append((model_title(row["against"]), row["metric"], change(row), verdict))
    training = {
        f"{block}.{name}": value
        for block, values in manifest.parameters().items()
        for name, value in sorted(values.items())
    }
    return MODEL_CARD.format(
        revision=facts["revision"],
        committed=facts["committed"],
        changed=" with uncommitted changes" if facts["uncommitted_changes"] else "",
        sizes=manifest.sizes,
        data=Table(("figure", "value"), figures).markdown(),
        settings=_parameters(facts["settings"]),
        training=_parameters(training),
        judged=_figure(split_figures(facts["quality"])["users"]),
        split=split,
        confidence=CONFIDENCE,
        flattered="" if split == "test" else FLATTERED,
        metrics=Table(("model", "metric", "value"), metrics).markdown(),
        verdicts=Table(("against", "metric", "difference", "the model is"), verdicts).markdown(),
    )


def _parameters(values: Mapping[str, Any]) -> str:
    rows = [(name, f"`{parameter(value)}`") for name, value in values.items()]
    return Table(("parameter", "value"), rows).markdown()


def _figure(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def is_published(folder: Path) -> bool:
    """Whether a folder is empty, or holds what `publish` wrote and nothing else."""
    if not any(folder.iterdir()):
        return True
    path = folder / MANIFEST
    return is_folder_of_ours(folder) and path.is_file() and bool(read_json(path).get("published"))


def _settings(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters that say which plays the model learned from and was judged on."""
    drawn = params.get("data", {}).get("protocol") in ("holdout", "strong_generalization")
    unused = set() if drawn else OF_USERS
    return {
        f"{block}.{name}": without_passwords(value) if isinstance(value, str) else value
        for block, names in SETTINGS.items()
        for name, value in params.get(block, {}).items()
        if name in names - unused and value is not None
    }


def _warn_of_unknown(project: Revision, settings: Mapping[str, Any]) -> None:
    """Warn of listeners that a sample left out, where those who come back are served."""
    counts = project.read_json("metrics/downsample.json") or {}
    dropped = counts.get("users_dropped", 0)
    if dropped and settings.get("data.protocol") == "temporal":
        share = dropped / (dropped + counts["users_kept"])
        warn(
            f"{100 * share:.0f} % of the listeners are unknown to the bundle, left out by "
            f"downsample.fraction = {settings.get('downsample.fraction')}; 1.0 keeps all"
        )


def _read(project: Revision, path: str) -> Any:
    content = project.read_json(path)
    if not content:
        raise MusicRecError(f"{path}: missing; run dvc repro evaluate, or dvc pull where it ran")
    return content
