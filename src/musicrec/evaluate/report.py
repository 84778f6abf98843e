"""What `evaluate` reports of its per-user table: metrics and plot data."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from musicrec.baselines.lists import CHAMPION, baseline_names, model_title
from musicrec.evaluate.judge import Evaluation
from musicrec.metrics.definitions import (
    HITS,
    METRICS,
    PAPERS,
    headline_metrics,
    metric_title,
    shown_metrics,
)
from musicrec.metrics.intervals import FEWEST_USERS, Interval, mean_intervals, shown_higher
from musicrec.metrics.ranking import precision_ceiling
from musicrec.params import EvaluateParams

MODEL = "als"
SLICES = {  # columns of the per-user table that users are sliced by, and where
    "history": ("history_length", (0, 1, 5, 10, 20, 50, 100, 200, 500)),  # tracks in training
    "popularity": (
        "held_out_popularity",  # training users of a track
        (0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000),
    ),
}
Rows = list[dict[str, Any]]


def evaluation_metrics(
    evaluation: Evaluation, differences: Rows, params: EvaluateParams
) -> dict[str, Any]:
    """Figures of `metrics/evaluate.json`, what a reviewer acts on; docs/metrics.md defines them.

    Metrics are means of columns of the table. `beats_<baseline>`: the model's MAP is shown
    to be higher (`metrics.intervals.shown_higher`).

    Parameters
    ----------
    differences : rows
        Of that name in `plot_rows`.
    """
    table = evaluation.table
    shown = shown_metrics(params.k, evaluation.folded_in)
    figures: dict[str, Any] = {"users": table.num_rows}
    figures |= {name: _mean(table, name) for name in shown}
    for row in differences:
        if row["metric"] == shown[0]:
            figures[f"beats_{row['against']}"] = row["shown_higher"]
            if row["against"] == CHAMPION:  # others' are in metrics/baselines.json
                figures[f"{CHAMPION}_{shown[0]}"] = row["baseline"]
    return figures


def sentence(
    figures: Mapping[str, Any],
    differences: Rows,
    table: pa.Table,
    params: EvaluateParams,
    model: str = MODEL,
) -> str:
    """Say in one line how the model stands beside the baselines."""
    metric = headline_metrics(params.k)[0]
    rows = [row for row in differences if row["metric"] == metric]
    said = f"{metric}: {model_title(model)} {figures[metric]:.4f}"
    if table.num_rows < FEWEST_USERS:
        beside = ", ".join(f"{model_title(row['against'])} {row['baseline']:.4f}" for row in rows)
        return f"{said}, {beside}; too few users ({table.num_rows}) to tell which is better"

    def against(row: Mapping[str, Any]) -> str:
        missed = "is worse than" if row["high"] < 0 else "is not shown to beat"
        beats = "beats" if row["shown_higher"] else missed
        return f"{beats} {model_title(row['against'])} ({row['baseline']:.4f})"

    stands = " and ".join(map(against, rows))
    kept = ", seen tracks kept" if params.seen == "keep" else ""
    known = [name for name in PAPERS if name in table.column_names]
    papers = [f"{metric_title(name)} {_mean(table, name):.4f}" for name in known]
    users = f"{table.num_rows:,} {params.split} users{kept}"
    return "; ".join([f"{said}, {stands}", *papers, users])


def plot_rows(evaluation: Evaluation, params: EvaluateParams) -> dict[str, Rows]:
    """Rows of each file of plots/evaluate, by its name without the ending; see docs/metrics.md.

    In `metrics` a row a model and k, null where the lists do not have a metric, with the ceiling of
    precision, what perfect lists would reach; in `spark_protocol` those of the model, of hits; in
    `intervals` and `differences` a row a headline metric (and baseline); in `by_history` and
    `by_popularity` a row a slice (`SLICES`) and model; in `users` one row.
    """
    table = evaluation.table
    rows = {
        "metrics": [
            row for model in _prefixes(table) for row in metric_rows(table, params.k, model)
        ],
        "spark_protocol": spark_rows(table, params.k) if "spark_map" in table.column_names else [],
        "users": [_user_counts(table)],
    }
    rows["intervals"], rows["differences"] = _interval_rows(table, params)
    for slicing in SLICES:
        rows[f"by_{slicing}"] = slice_rows(table, slicing, params)
    return rows


def metric_rows(table: pa.Table, k: Sequence[int], model: str = MODEL) -> Rows:
    """Rows of `metrics` of one model."""
    sizes, prefix = _numbers(table, "held_out"), "" if model == MODEL else f"{model}_"
    return [
        {"model": model, "k": n, "precision_ceiling": precision_ceiling(sizes, n)}
        | {name: _mean(table, f"{prefix}{name}@{n}") for name in METRICS}
        for n in sorted(k)
    ]


def spark_rows(table: pa.Table, k: Sequence[int]) -> Rows:
    """Rows of `spark_protocol`."""
    kept = _numbers(table, f"spark_map@{min(k)}", drop_null=False) >= 0
    known = (_numbers(table, "held_out") - _numbers(table, "held_out_unknown"))[kept]
    return [
        {
            "k": n,
            "n_users": len(known),
            "map_of_whole_list": _mean(table, "spark_map") or 0.0,
            "precision_ceiling": precision_ceiling(known, n),
        }
        | {name: _mean(table, f"spark_{name}@{n}") or 0.0 for name in HITS}
        for n in sorted(k)
    ]


def _user_counts(table: pa.Table) -> dict[str, int]:
    return {
        "n_users": table.num_rows,
        "n_users_without_recommendations": int(np.sum(_numbers(table, "recommended") == 0)),
        "n_users_unknown_to_training": int(np.sum(_numbers(table, "history_length") == 0)),
        "held_out_plays": int(_numbers(table, "held_out").sum()),
        "held_out_plays_of_unknown_tracks": int(_numbers(table, "held_out_unknown").sum()),
    }


def _interval_rows(table: pa.Table, params: EvaluateParams) -> tuple[Rows, Rows]:
    """Intervals of every model's headline metrics, and of the differences to the baselines."""
    values = _headline_values(table, params)
    gains = {
        ("gain over", model, name): values[MODEL, name] - of_users
        for (model, name), of_users in values.items()
        if model != MODEL
    }
    found = mean_intervals({**values, **gains}, params.bootstrap_samples, params.seed)
    intervals, differences = [], []
    for model, name in values:
        mean = found[model, name]
        intervals.append({"model": model, "metric": name, "value": mean.mean} | _ends(mean))
        if model != MODEL:
            gain = found[key := ("gain over", model, name)]
            row = {"against": model, "metric": name, "baseline": mean.mean, "difference": gain.mean}
            differences.append(row | _ends(gain) | {"shown_higher": shown_higher(gains[key], gain)})
    return intervals, differences


def slice_rows(table: pa.Table, slicing: str, params: EvaluateParams) -> Rows:
    """Rows of `by_<slicing>`, of the slices with users."""
    column, edges = SLICES[slicing]
    values = _headline_values(table, params)
    place = np.searchsorted(edges, _numbers(table, column), side="right") - 1
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for i, label in enumerate(slice_labels(edges)):
        inside = np.flatnonzero(place == i)
        if not len(inside):
            continue
        of_slice = {key: of_users[inside] for key, of_users in values.items()}
        found = mean_intervals(of_slice, params.bootstrap_samples, params.seed)
        for (model, metric), interval in found.items():
            row = rows.setdefault((label, model), {"slice": label, "model": model})
            name = metric.partition("@")[0]
            row |= {"n_users": len(inside), name: interval.mean} | _ends(interval, f"{name}_")
    return list(rows.values())


def slice_labels(edges: Sequence[int]) -> list[str]:
    """Name the slices, from one edge to below the next: `0`, `1-4`, `5-9`, ..., `500+`."""
    pairs = itertools.pairwise(edges)
    closed = [f"{low}-{high - 1}" if high - low > 1 else f"{low}" for low, high in pairs]
    return [*closed, f"{edges[-1]}+"]


def _ends(interval: Interval, prefix: str = "") -> dict[str, float]:
    return {f"{prefix}low": interval.low, f"{prefix}high": interval.high}


def _headline_values(table: pa.Table, params: EvaluateParams) -> dict[tuple[str, str], np.ndarray]:
    """Per-user values by model and headline metric."""
    return {
        (model, name): _numbers(table, prefix + name)
        for model, prefix in _prefixes(table).items()
        for name in headline_metrics(params.k)
    }


def _prefixes(table: pa.Table) -> dict[str, str]:
    """Column prefix of each model that is compared in the `ranking` protocol."""
    return {MODEL: ""} | {
        baseline: f"{baseline}_" for baseline in baseline_names(table.column_names)
    }


def _mean(table: pa.Table, name: str) -> float | None:
    """Mean of a column over its users that are not null; None where there are none."""
    values = _numbers(table, name) if name in table.column_names else np.empty(0)
    return float(values.mean()) if len(values) else None


def _numbers(table: pa.Table, name: str, drop_null: bool = True) -> np.ndarray:
    column = table.column(name)
    return (column.drop_null() if drop_null else column).to_numpy()
