"""The model card: what a published bundle says of itself, for people (Mitchell et al., 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from musicrec.baselines.lists import model_title
from musicrec.bundle.manifest import Manifest
from musicrec.metrics.intervals import CONFIDENCE
from musicrec.reporting.markdown import markdown_table

LIMITS = """\
- A play is taken for liking, and no play for not knowing: nothing here knows dislike.
- Metrics on held-out plays reward what people would have played anyway; they do not say what a
  listener thinks of a recommendation.
- Tracks that nobody played in training are never recommended, tracks with few listeners seldom.
- The training plays of every user are in the bundle: treat it as personal data.
- `similar` and `explain` describe the model, not the music."""


def model_card(manifest: Manifest) -> str:
    """Write the card of a published bundle, as Markdown; all figures are those of its manifest."""
    facts = manifest.published or {}
    sizes = manifest.sizes
    changed = " with uncommitted changes" if facts["uncommitted_changes"] else ""
    intended = (
        "Recommends tracks to listeners from their play counts: alternating least squares on "
        "implicit feedback."
    )
    return "\n".join(
        [
            "# Model card",
            "",
            intended,
            f"Git revision `{facts['revision']}` of {facts['committed']}{changed}.",
            "",
            "## Data",
            "",
            f"{sizes.n_plays:,} training plays of {sizes.n_users:,} users and {sizes.n_items:,} "
            "tracks. The plays as `ingest` found them:",
            "",
            markdown_table(
                ("figure", "value"), [(key, _figure(value)) for key, value in facts["data"].items()]
            ),
            "",
            "How they were split, and which share was kept:",
            "",
            markdown_table(
                ("parameter", "value"),
                [(key, f"`{value}`") for key, value in facts["settings"].items()],
            ),
            "",
            "## Training",
            "",
            markdown_table(("parameter", "value"), _parameters(manifest)),
            "",
            "## How good it is",
            "",
            _judged_on(facts),
            "",
            _metrics(facts["intervals"]),
            "",
            _verdicts(facts["differences"]),
            "",
            "## Limits",
            "",
            LIMITS,
            "",
        ]
    )


def _parameters(manifest: Manifest) -> list[tuple[str, ...]]:
    return [
        (f"{block}.{name}", f"`{value}`")
        for block in ("feedback", "als", "export")
        for name, value in sorted(getattr(manifest, block).items())
    ]


def _judged_on(facts: Mapping[str, Any]) -> str:
    split = facts["settings"].get("evaluate.split", "validation")
    said = (
        f"On the held-out plays of {_figure(facts['quality']['users'])} {split} users, with "
        f"{CONFIDENCE} bootstrap intervals over users."
    )
    if split == "test":
        return said
    return (
        f"{said} Parameters are usually chosen by these very users, which flatters the model a "
        "little; `evaluate.split=test` judges it on others."
    )


def _metrics(intervals: list[dict[str, Any]]) -> str:
    """A row a model, a column a metric."""
    models = list(dict.fromkeys(row["model"] for row in intervals))
    metrics = list(dict.fromkeys(row["metric"] for row in intervals))
    cells = {
        (row["model"], row["metric"]): f"{row['value']:.4f} ({row['low']:.4f} to {row['high']:.4f})"
        for row in intervals
    }
    rows = [
        (model_title(model), *(cells.get((model, metric), "") for metric in metrics))
        for model in models
    ]
    return markdown_table(("model", *metrics), rows)


def _verdicts(differences: list[dict[str, Any]]) -> str:
    """Say of every baseline and metric whether the model is shown to be better or worse."""

    def verdict(row: Mapping[str, Any]) -> str:
        if row["shown_higher"]:
            return "better"
        return "worse" if row["high"] < 0 else "not shown to be better"

    rows = [
        (
            model_title(row["against"]),
            row["metric"],
            f"{row['difference']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})",
            verdict(row),
        )
        for row in differences
    ]
    return markdown_table(("against", "metric", "difference", "the model is"), rows)


def _figure(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)
