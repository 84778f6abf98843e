"""The picture of recall against speed: every method, the Pareto front, exact ones as points."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from musicrec.storage.outputs import atomic_path


def draw_tradeoff(
    path: str | os.PathLike[str], rows: Sequence[Mapping[str, Any]], title: str
) -> None:
    """Draw the rows of `run.run_benchmark` as an SVG that opens without a network."""
    # Without pyplot, whose import takes as long as the drawing.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        point = (row["recall"], row["queries_per_second"])
        lines.setdefault(row["method"], []).append(point)
    methods = list(dict.fromkeys(name.partition(",")[0] for name in lines))
    builds = dict.fromkeys(methods, 0)  # drawn so far, for another marker each
    with (
        rc_context({"svg.hashsalt": "musicrec", "svg.fonttype": "none"}),
        atomic_path(path) as temporary,
    ):
        figure = Figure(figsize=(10, 6))
        axes = figure.subplots()
        figure.subplots_adjust(left=0.08, right=0.8, top=0.93, bottom=0.09)
        for name, points in lines.items():
            method = name.partition(",")[0]
            style, size = ("osDv^PX"[builds[method] % 7], 5) if len(points) > 1 else ("*", 12)
            builds[method] += 1
            look: dict[str, Any] = {
                "color": f"C{methods.index(method)}",
                "marker": style,
                "markersize": size,
            }
            axes.plot(*zip(*sorted(points), strict=True), label=name, linewidth=1, **look)
        front = pareto_front([point for points in lines.values() for point in points])
        dashes: dict[str, Any] = {"color": "black", "linewidth": 1, "zorder": 0}
        axes.plot(*zip(*front, strict=True), "--", label="Pareto front", **dashes)
        axes.set(title=title, xlabel="recall by score threshold", yscale="log")
        axes.set_ylabel("queries per second, one at a time on one thread")
        axes.grid(True, which="both", alpha=0.2)
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5))
        figure.savefig(temporary, format="svg", metadata={"Date": None})


def pareto_front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Keep the points that no other beats in both recall and speed, by rising recall."""
    front: list[tuple[float, float]] = []
    for point in sorted(points, reverse=True):
        if not front or point[1] > front[-1][1]:
            front.append(point)
    return front[::-1]
