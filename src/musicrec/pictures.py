"""Pictures as SVG: the same bytes for the same figures, opened without a network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from musicrec.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextmanager
def svg_figure(path: str | os.PathLike[str], **subplots: Any) -> Iterator[tuple[Figure, Any]]:
    """Yield a figure and its axes, and write them to `path` if the block succeeds.

    Parameters
    ----------
    **subplots
        As of `matplotlib.pyplot.subplots`.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with pyplot.rc_context({"svg.hashsalt": "musicrec", "svg.fonttype": "none"}):
        figure, axes = pyplot.subplots(**subplots)
        try:
            yield figure, axes
            with atomic_path(path) as temporary:
                figure.savefig(
                    temporary, format="svg", metadata={"Date": None}, bbox_inches="tight"
                )
        finally:
            pyplot.close(figure)
