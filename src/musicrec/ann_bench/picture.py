"""The picture of recall against speed: every method, the Pareto front, exact ones as points."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from musicrec.storage.outputs import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_tradeoff(
    path: str | os.PathLike[str], rows: Sequence[Mapping[str, Any]], title: str
) -> None:
    """Draw the settings of a benchmark as an SVG that opens without a network.

    Parameters
    ----------
    rows : sequence of dict
        As of `run.setting_rows`: method, recall, queries_per_second.
    """
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        place = (row["recall"], row["queries_per_second"])
        lines.setdefault(row["method"], []).append(place)
    methods = dict.fromkeys(name.partition(",")[0] for name in lines)
    colours = {method: f"C{i}" for i, method in enumerate(methods)}
    builds = dict.fromkeys(colours, 0)  # drawn so far, for another marker each
    with svg_figure(path, cropped=False, figsize=(10, 6)) as (figure, axes):
        figure.subplots_adjust(left=0.08, right=0.8, top=0.93, bottom=0.09)
        for name, places in lines.items():
            method = name.partition(",")[0]
            style, size = ("osDv^PX"[builds[method] % 7], 5) if len(places) > 1 else ("*", 12)
            builds[method] += 1
            recalls, rates = zip(*sorted(places), strict=True)
            look = {"color": colours[method], "marker": style, "markersize": size, "linewidth": 1}
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


def pareto_front(places: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Keep the places that no other beats in both recall and speed, by rising recall."""
    front: list[tuple[float, float]] = []
    for place in sorted(places, reverse=True):
        if not front or place[1] > front[-1][1]:
            front.append(place)
    return front[::-1]


@contextmanager
def svg_figure(
    path: str | os.PathLike[str],
    nrows: int = 1,
    ncols: int = 1,
    cropped: bool = True,
    **figure_options: Any,
) -> Iterator[tuple[Figure, Any]]:
    """Yield a figure and its axes, and write them to `path` if the block succeeds.

    Parameters
    ----------
    nrows, ncols
        Of the grid of axes.
    cropped : bool
        Fit the paper to what is drawn on it, for which all is drawn twice.
    **figure_options
        As of `matplotlib.figure.Figure`.
    """
    # Without pyplot, whose import takes as long as the drawing.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "musicrec", "svg.fonttype": "none"}):
        figure = Figure(**figure_options)
        yield figure, figure.subplots(nrows, ncols)
        with atomic_path(path) as temporary:
            box = "tight" if cropped else None
            figure.savefig(temporary, format="svg", metadata={"Date": None}, bbox_inches=box)
