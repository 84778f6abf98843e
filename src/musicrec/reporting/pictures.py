"""Pictures as SVG: the same bytes for the same figures, opened without a network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from musicrec.storage.outputs import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
