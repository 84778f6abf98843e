"""The picture of recall against speed: every arm, the Pareto front, exact arms as points."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from musicrec.files import atomic_path


def draw_tradeoff(path: str | os.PathLike[str], speed: Mapping[str, Any], title: str) -> None:
    """Draw `points` of a benchmark's speed report as an SVG that opens without a network.

    Parameters
    ----------
    speed : dict
        As of `ann_bench.Report.speed`: `points` with arm, setting, recall, queries_per_second.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines: dict[str, list[tuple[float, float]]] = {}
    for point in speed["points"]:
        place = (point["recall"], point["queries_per_second"])
        lines.setdefault(point["arm"], []).append(place)
    arms = dict.fromkeys(name.partition(",")[0] for name in lines)
    colours = {arm: f"C{i}" for i, arm in enumerate(arms)}
    builds = dict.fromkeys(colours, 0)  # drawn so far, for another marker each
    with pyplot.rc_context({"svg.hashsalt": "musicrec", "svg.fonttype": "none"}):
        figure, axes = pyplot.subplots(figsize=(9, 6))
        for name, places in lines.items():
            arm = name.partition(",")[0]
            style, size = ("osDv^PX"[builds[arm] % 7], 5) if len(places) > 1 else ("*", 12)
            builds[arm] += 1
            recalls, rates = zip(*sorted(places), strict=True)
            look = {"color": colours[arm], "marker": style, "markersize": size, "linewidth": 1}
            axes.plot(recalls, rates, label=name, **look)
        front = pareto_front([place for places in lines.values() for place in places])
        axes.plot(
            *zip(*front, strict=True), "--", color="black", lw=1, label="Pareto front", zorder=0
        )
        axes.set_yscale("log")
        axes.set_xlabel("recall by score threshold")
        axes.set_ylabel("queries per second, one at a time on one thread")
        axes.set_title(title)
        axes.grid(True, which="both", alpha=0.2)
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5))
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None}, bbox_inches="tight")
        pyplot.close(figure)


def pareto_front(places: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Keep the places that no other beats in both recall and speed, by rising recall."""
    front: list[tuple[float, float]] = []
    for place in sorted(places, reverse=True):
        if not front or place[1] > front[-1][1]:
            front.append(place)
    return front[::-1]
