"""What `metrics/index.json` and `plots/index.json` say about the indexed splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from musicrec.interactions.coded import IndexSizes
from musicrec.storage.parquet import READING, SPLITS, parquet_parts


def summarise(folder: Path, sizes: IndexSizes) -> dict[str, Any]:
    """Count plays, users and tracks of the indexed splits, and those that training does not know.

    Reads one row group at a time: memory follows the number of ids, not of plays.
    """
    train = sum(pq.read_metadata(part).num_rows for part in parquet_parts(folder / "train"))
    density = train / max(1, sizes.n_users * sizes.n_items)
    summary: dict[str, Any] = asdict(sizes) | {"train": {"plays": train, "density": density}}
    for name in [name for name in SPLITS[1:] if (folder / name).is_dir()]:
        rows_of_user = np.zeros(sizes.n_all_users, np.int64)
        rows_of_item = np.zeros(sizes.n_all_items, np.int64)
        for part in parquet_parts(folder / name):
            with pq.ParquetFile(part, **READING) as reader:
                for batch in reader.iter_batches(columns=["user", "item"]):
                    rows_of_user += np.bincount(batch["user"], minlength=sizes.n_all_users)
                    rows_of_item += np.bincount(batch["item"], minlength=sizes.n_all_items)
        new_users, new_items = rows_of_user[sizes.n_users :], rows_of_item[sizes.n_items :]
        summary[name] = {
            "plays": rows_of_user.sum(),
            "users": np.count_nonzero(rows_of_user),
            "tracks": np.count_nonzero(rows_of_item),
            "unknown_users": np.count_nonzero(new_users),
            "unknown_tracks": np.count_nonzero(new_items),
            "plays_of_unknown_users": new_users.sum(),
            "plays_of_unknown_tracks": new_items.sum(),
        }
    return summary


def headline(summary: Mapping[str, Any]) -> dict[str, float]:
    """Figures of `metrics/index.json`, from what `index_splits` returns."""
    figures: dict[str, float] = {
        "users": summary["n_users"],
        "tracks": summary["n_items"],
        "density": summary["train"]["density"],
    }
    for split in [split for split in SPLITS[1:] if split in summary]:
        for name in ("users", "tracks"):
            figures[f"unknown_{split}_{name}"] = summary[split][f"unknown_{name}"]
    return figures


def split_rows(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of `plots/index.json`: what training does not know of each held-out split."""
    return [{"split": split} | summary[split] for split in SPLITS[1:] if split in summary]
