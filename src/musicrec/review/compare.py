"""`musicrec compare`: is one configuration better than another, metric by metric?

Both per-user tables hold the same users with the same held-out tracks, or there is no answer.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from musicrec.errors import MusicRecError
from musicrec.evaluate.judge import TABLE_METADATA, headline_metrics
from musicrec.metrics.intervals import Comparison, compare_paired
from musicrec.metrics.ranking import METRICS
from musicrec.review.revisions import Revision

TABLE = "data/per_user.parquet"
DATA = "data/ingested"
SAMPLES = 1000
SEED = 42


@dataclass(frozen=True)
class Result:
    """Outcome of a comparison: names, whose plays, and a `Comparison` a metric."""

    base: str
    head: str
    split: str
    n_users: int
    metrics: dict[str, Comparison]


def compare(base: Revision, head: Revision, metrics: Sequence[str] | None = None) -> Result:
    """Compare the per-user tables of two revisions.

    Parameters
    ----------
    base, head : Revision
    metrics : sequence of str, optional
        Names such as `ndcg_at_100`; by default the headline metrics of the list lengths that
        both revisions have. All of them count in Holm's correction. (The `seed` protocol drops
        users, other ones in other configurations, and so has no paired comparison.)

    Raises
    ------
    MusicRecError
        A table is missing; the revisions were judged on different data, splits, users or
        held-out tracks; a metric is not in both.
    """
    old, new = _read(base), _read(head)
    _refuse_different_truth(base, head, old, new)
    described = [_described(table) for table in (old, new)]
    shared = sorted(set(described[0]["k"]) & set(described[1]["k"]))
    if metrics is None and not shared:
        raise MusicRecError(
            f"{base.name} and {head.name} have no list length (evaluate.k) in common: "
            f"{described[0]['k']} against {described[1]['k']}"
        )
    names = headline_metrics(shared) if metrics is None else list(metrics)
    old_values = {name: _values(old, name, base) for name in names}
    new_values = {name: _values(new, name, head) for name in names}
    found = compare_paired(old_values, new_values, SAMPLES, SEED)
    return Result(base.name, head.name, described[0]["split"], old.num_rows, found)


def as_json(result: Result) -> str:
    """All figures, unrounded."""
    return json.dumps(asdict(result), indent=2, sort_keys=True)


def as_text(result: Result) -> str:
    """A table for a terminal."""
    rows = [_header(result), *_rows(result)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if i in (0, len(row) - 1) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([_title(result), "", *lines, "", _footnote(result)])


def as_markdown(result: Result) -> str:
    """A table for a pull request."""
    rows = [_header(result), ["---", *["---:"] * 5, "---"], *_rows(result, emphasis="**")]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([_title(result), "", *lines, "", _footnote(result)])


def _header(result: Result) -> list[str]:
    return ["metric", result.base, result.head, "difference", "95 % interval", "p", "verdict"]


def _rows(result: Result, emphasis: str = "") -> list[list[str]]:
    rows = []
    for name, row in result.metrics.items():
        p_value = "< 0.0001" if row.adjusted_p_value < 0.0001 else f"{row.adjusted_p_value:.4f}"
        sure = emphasis if row.verdict in ("better", "worse") else ""
        rows.append(
            [
                name,
                f"{row.base:.6f}",
                f"{row.head:.6f}",
                f"{row.difference:+.6f}",
                f"{row.low:+.6f} to {row.high:+.6f}",
                p_value,
                f"{sure}{row.verdict}{sure}",
            ]
        )
    return rows


def _title(result: Result) -> str:
    return f"{result.base} against {result.head}: {result.n_users:,} {result.split} users"


def _footnote(result: Result) -> str:
    return (
        "Paired over users: bootstrap interval of the mean difference, p of the paired t-test "
        f"after Holm's correction for the {len(result.metrics)} metrics; "
        "better or worse where p < 0.05."
    )


def _read(revision: Revision) -> pa.Table:
    content = revision.read(TABLE)
    if content is None:
        raise MusicRecError(
            f"{revision.name} has no {TABLE}; run `dvc repro evaluate` there, or `dvc pull`"
        )
    return pq.read_table(io.BytesIO(content))


def _described(table: pa.Table) -> dict[str, Any]:
    return json.loads((table.schema.metadata or {})[TABLE_METADATA])


def _refuse_different_truth(base: Revision, head: Revision, old: pa.Table, new: pa.Table) -> None:
    pair = f"{base.name} and {head.name} cannot be compared:"
    splits = [_described(table)["split"] for table in (old, new)]
    if splits[0] != splits[1]:
        raise MusicRecError(f"{pair} they judge different splits, {splits[0]} and {splits[1]}")
    data = [revision.output_hash(DATA) for revision in (base, head)]
    if None not in data and data[0] != data[1]:
        raise MusicRecError(
            f"{pair} their data differ ({DATA} is {data[0]} and {data[1]} in dvc.lock); "
            "reproduce one of them on the other's data"
        )
    users = [table.column("user_id") for table in (old, new)]
    if not users[0].equals(users[1]):
        common = pc.sum(pc.is_in(users[0], users[1])).as_py()
        raise MusicRecError(
            f"{pair} their users differ, {len(users[0]):,} and {len(users[1]):,} with {common:,} "
            "in common; reproduce one of them on the other's data"
        )
    differ = pc.sum(pc.not_equal(old.column("truth"), new.column("truth"))).as_py()
    if differ:
        raise MusicRecError(
            f"{pair} {differ:,} of {old.num_rows:,} users have different held-out tracks; "
            "reproduce one of them on the other's data"
        )


def _values(table: pa.Table, name: str, revision: Revision) -> np.ndarray:
    known = [column for column in table.column_names if column.partition("_at_")[0] in METRICS]
    if name not in known:
        raise MusicRecError(
            f"{name} is not a metric that {revision.name} can be compared by; "
            f"it has {', '.join(known)}"
        )
    return table.column(name).to_numpy()
