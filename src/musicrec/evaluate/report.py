"""What `evaluate` reports of its per-user table: metrics, plot data and a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from musicrec.evaluate.judge import BASELINES, Evaluation, headline_metrics
from musicrec.metrics.beyond_accuracy import HISTORY_EDGES, POPULARITY_EDGES, slice_rows
from musicrec.metrics.intervals import Interval, mean_intervals, shown_higher
from musicrec.metrics.ranking import METRICS, precision_ceiling
from musicrec.params.evaluate import EvaluateParams

MODEL = "als"
Rows = list[dict[str, Any]]


def summarise(evaluation: Evaluation, params: EvaluateParams) -> dict[str, Any]:
    """Figures of `metrics/evaluate.json`; every mean is the mean of a column of the table.

    `ranking`, `seed`
        The model in the two protocols (`musicrec.metrics.ranking`). Beside each precision stands
        its ceiling, what perfect lists would reach; `seed.n_users` are the users seed keeps.
    `popularity`, `neighbours`
        The baselines on the same users in the `ranking` protocol.
    `interval`
        95 % bootstrap intervals of the headline metrics (`headline_metrics`).
    `lift`
        Of the model over each baseline: `difference` with its paired interval (`low`, `high`)
        and, where the baseline is not at 0, `ratio` (1.2: a fifth better).
    `beats_popularity`, `beats_neighbours`
        Whether the model's MAP is shown to be higher (`musicrec.metrics.intervals.shown_higher`).
    """
    table = evaluation.table
    k = params.k
    names = [f"{metric}_at_{n}" for metric in METRICS for n in sorted(k)]
    held_out, unknown = _numbers(table, "held_out"), _numbers(table, "held_out_unknown")
    known = (held_out - unknown)[_numbers(table, f"seed_{names[0]}", drop_null=False) >= 0]
    seed_names = ["map", *names]
    summary: dict[str, Any] = {
        "split": params.split,
        "n_users": table.num_rows,
        "n_users_without_recommendations": int(np.sum(_numbers(table, "recommended") == 0)),
        "n_users_unknown_to_training": int(np.sum(_numbers(table, "history_length") == 0)),
        "held_out_plays": int(held_out.sum()),
        "held_out_plays_of_unknown_tracks": int(unknown.sum()),
        "ranking": _means(table, names, "") | precision_ceiling(held_out, k),
        "seed": _means(table, seed_names, "seed_")
        | precision_ceiling(known, k)
        | {"n_users": len(known)},
        "beyond_accuracy": evaluation.reach
        | _means(table, [name for name in table.column_names if name.startswith("list_")], ""),
    }
    for baseline in BASELINES:
        summary[baseline] = _means(table, names, f"{baseline}_")
    return summary | _certainty(table, params)


def sentence(summary: Mapping[str, Any], params: EvaluateParams) -> str:
    """Say in one line how the model stands beside the baselines."""
    metric = headline_metrics(params.k)[0]
    words = [
        f"{'beats' if summary[f'beats_{name}'] else 'DOES NOT BEAT'} {name} "
        f"({summary[name][metric]:.4f})"
        for name in BASELINES
    ]
    return f"{metric}: {MODEL} {summary['ranking'][metric]:.4f}, {' and '.join(words)}"


def plot_rows(evaluation: Evaluation, params: EvaluateParams) -> dict[str, Rows]:
    """Rows of each plot, by file name without its ending.

    `map`, `precision`, `recall`, `ndcg`
        A row a k: the model and the baselines side by side, for precision also its ceiling.
    `by_history`, `by_popularity`
        A row a slice and model: the headline metrics (`map`, `ndcg`, `recall`, `precision`)
        with their intervals. Users are sliced by the number of tracks they have in training, or
        by the median popularity of their held-out tracks.
    """
    table = evaluation.table
    ceiling = precision_ceiling(_numbers(table, "held_out"), params.k)
    plots: dict[str, Rows] = {}
    for metric in METRICS:
        plots[metric] = []
        for k in sorted(params.k):
            name = f"{metric}_at_{k}"
            row = {"k": k} | {
                model: float(_numbers(table, prefix + name).mean())
                for model, prefix in _prefixes().items()
            }
            if metric == "precision":
                row["ceiling"] = ceiling[f"{name}_ceiling"]
            plots[metric].append(row)
    models = {
        model: {
            name.partition("_at_")[0]: _numbers(table, prefix + name)
            for name in headline_metrics(params.k)
        }
        for model, prefix in _prefixes().items()
    }
    for plot, column, edges in (
        ("by_history", "history_length", HISTORY_EDGES),
        ("by_popularity", "held_out_popularity", POPULARITY_EDGES),
    ):
        values = _numbers(table, column)
        plots[plot] = slice_rows(values, edges, models, params.bootstrap_samples, params.seed)
    return plots


def draw_slices(plots: Mapping[str, Rows], params: EvaluateParams, path: Path) -> None:
    """Draw MAP and nDCG over both kinds of slices, with intervals, as an SVG file."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    titles = {
        "by_history": "tracks in the user's history",
        "by_popularity": "median listeners of the held-out tracks",
    }
    with pyplot.rc_context({"svg.hashsalt": "musicrec", "svg.fonttype": "none"}):
        figure, axes = pyplot.subplots(2, 2, figsize=(11, 7), constrained_layout=True)
        for column, (plot, title) in enumerate(titles.items()):
            for row, name in enumerate(headline_metrics(params.k)[:2]):
                _draw(axes[row, column], plots[plot], name, title)
        axes[0, 0].legend(frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None})
        pyplot.close(figure)


def _draw(axis: Any, rows: Rows, name: str, title: str) -> None:
    metric = name.partition("_at_")[0]
    labels = list(dict.fromkeys(row["slice"] for row in rows))
    models = list(_prefixes())
    for shift, model in enumerate(models):
        of_model = [row for row in rows if row["model"] == model]
        middle = np.array([row[metric] for row in of_model])
        low, high = (
            np.array([row[f"{metric}_{end}"] for row in of_model]) for end in ("low", "high")
        )
        places = np.arange(len(labels)) + (shift - 1) * 0.12
        errors = np.maximum([middle - low, high - middle], 0.0)
        axis.errorbar(places, middle, yerr=errors, marker="o", capsize=2, label=model)
    users = [row["n_users"] for row in rows if row["model"] == MODEL]
    axis.set_xticks(range(len(labels)))
    axis.set_xticklabels([f"{label}\n{n:,}" for label, n in zip(labels, users, strict=True)])
    axis.set_xlabel(f"{title}; below it, users")
    axis.set_ylabel(name)
    axis.set_ylim(bottom=0)


def _certainty(table: pa.Table, params: EvaluateParams) -> dict[str, Any]:
    """Intervals of the headline metrics and of the differences to the baselines."""
    metrics = headline_metrics(params.k)
    model = {name: _numbers(table, name) for name in metrics}
    others = {
        (baseline, name): _numbers(table, f"{baseline}_{name}")
        for baseline in BASELINES
        for name in metrics
    }
    columns = {f" {name}": model[name] for name in metrics} | {
        f"{baseline} {name}": model[name] - values for (baseline, name), values in others.items()
    }
    found = mean_intervals(columns, params.bootstrap_samples, params.seed)
    lift: dict[str, Any] = {}
    beats = {}
    for baseline in BASELINES:
        lift[baseline] = {
            name: _lift(found[f"{baseline} {name}"], float(others[baseline, name].mean()))
            for name in metrics
        }
        name = f"{baseline} {metrics[0]}"
        beats[f"beats_{baseline}"] = shown_higher(columns[name], found[name])
    intervals = {
        name: {"low": found[f" {name}"].low, "high": found[f" {name}"].high} for name in metrics
    }
    return {"interval": intervals, "lift": lift, **beats}


def _lift(difference: Interval, baseline: float) -> dict[str, float]:
    lift = {"difference": difference.mean, "low": difference.low, "high": difference.high}
    return lift | ({"ratio": 1 + difference.mean / baseline} if baseline else {})


def _prefixes() -> dict[str, str]:
    """Column prefix of each model that is compared in the `ranking` protocol."""
    return {MODEL: ""} | {baseline: f"{baseline}_" for baseline in BASELINES}


def _means(table: pa.Table, names: list[str], prefix: str) -> dict[str, float]:
    """Mean of each column over its users that are not null, 0 where there are none."""
    columns = {name: _numbers(table, prefix + name) for name in names}
    return {name: float(values.mean()) if len(values) else 0.0 for name, values in columns.items()}


def _numbers(table: pa.Table, name: str, drop_null: bool = True) -> np.ndarray:
    column = table.column(name)
    return (column.drop_null() if drop_null else column).to_numpy()
