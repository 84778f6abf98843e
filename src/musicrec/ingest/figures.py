"""What `ingest` reports: a handful of figures for a review, and rows with all the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from musicrec.storage.parquet import HISTORIES, SPLITS

Rows = list[dict[str, Any]]


def headline(summary: Mapping[str, Any]) -> dict[str, float | str]:
    """Figures of `metrics/data.json`, from what `ingest.run.ingest` returns."""
    figures: dict[str, float | str] = {"rows_read": summary["source"]["rows"]}
    for split in [split for split in SPLITS if split in summary]:
        figures[f"{split}_plays"] = summary[split]["rows"]
        figures[f"{split}_users"] = summary[split]["users"]
        if "until" in summary[split]:
            figures[f"{split}_from"] = summary[split]["from"]
            figures[f"{split}_until"] = summary[split]["until"]
    for name in ("times_of_zero", "rows_same_listen", "rows_filtered", "rows_of_track_else"):
        if name in summary["source"]:  # where the columns or parameters are set
            figures[name] = summary["source"][name]
    figures |= summary.get("left_out", {})
    for history in [history for history in HISTORIES if history in summary]:
        figures[f"{history}_plays"] = summary[history]["rows"]
    return figures | {
        "train_tracks": summary["train"]["tracks"],
        "train_mean_count": summary["train"]["count"]["mean"],
        "rows_merged": summary["source"]["merged_rows"],
        "rows_rejected": summary["source"]["rejected_rows"],
    }


def sentence(summary: Mapping[str, Any]) -> str:
    """Say in one line what was read, what the splits hold, and what was left out and why."""
    source, train = summary["source"], summary["train"]
    held = " and ".join(
        f"{summary[split]['users']:,} {split}" for split in SPLITS[1:] if split in summary
    )
    said = (
        f"{source['rows']:,} rows read; {train['rows']:,} plays of {train['users']:,} users and "
        f"{train['tracks']:,} tracks to train on; {held} users"
    )
    if not source["rejected"]:
        return said
    reasons = ", ".join(
        f"{reason.replace('_', ' ')} in {rows:,}" for reason, rows in source["rejected"].items()
    )
    rows = source["rejected_rows"]
    return f"{said}; {rows:,} bad row{'s' * (rows > 1)} left out: {reasons}"


def count_rows(summary: Mapping[str, Any]) -> Rows:
    """Rows of `plots/data/counts.json`, the table of play counts: one a split."""
    rows = []
    for split in [name for name in (*SPLITS, *HISTORIES) if name in summary]:
        described = summary[split]
        row = {name: value for name, value in described.items() if not isinstance(value, dict)}
        rows.append({"split": split} | row | described["count"])
    return rows


def rejected_rows(summary: Mapping[str, Any]) -> Rows:
    """Rows of `plots/data/rejected.json`: how many rows were left out, by reason."""
    reasons = summary["source"]["rejected"]
    return [{"reason": reason, "rows": rows} for reason, rows in sorted(reasons.items())]
