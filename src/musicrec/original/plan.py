"""What the original project's report holds: its grid, its variants, and what it published.

Figures and settings are those of the report of zhengyangb/music-recsys on the Million Song Dataset.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import NamedTuple

from musicrec.params import ALSParams, FeedbackParams

FOLDER = Path("data/original")  # a file a result
K = 500  # length of its lists
RANKS, REG_PARAMS, ALPHAS = (5, 10, 20), (0.1, 1.0, 10.0), (1.0, 5.0, 10.0)
AXES = {"rank": RANKS, "reg_param": REG_PARAMS, "alpha": ALPHAS}
TREES = (1, 5, 10, 30)  # of its Annoy indexes


class Point(NamedTuple):
    """A model to fit."""

    als: ALSParams
    feedback: FeedbackParams


class Published(NamedTuple):
    """MAP and precision@500 of the original project's report."""

    map: float
    precision: float


BASELINE, LOG = "baseline", "log"
VARIANTS = {
    BASELINE: FeedbackParams(),
    LOG: FeedbackParams(transform="log1p"),
    "drop counts <= 1": FeedbackParams(min_count=2),
    "drop counts <= 2": FeedbackParams(min_count=3),
    "log, drop counts <= 1": FeedbackParams(transform="log1p", min_count=2),
    "log, drop counts <= 2": FeedbackParams(transform="log1p", min_count=3),
}
VALIDATION = {
    BASELINE: Published(0.0305, 0.0079),
    LOG: Published(0.0325, 0.0082),
    "drop counts <= 1": Published(0.0233, 0.0068),
    "drop counts <= 2": Published(0.0213, 0.0065),
    "log, drop counts <= 1": Published(0.0219, 0.0071),
    "log, drop counts <= 2": Published(0.0204, 0.0066),
}
TEST = {BASELINE: Published(0.0305, 0.0079), LOG: Published(0.0313, 0.0081)}
PUBLISHED_BEST = {"rank": 20, "reg_param": 0.1, "alpha": 10.0}


def grid(base: ALSParams) -> list[Point]:
    """The 27 models of its search; what it does not vary is as in `base`."""
    points = itertools.product(REG_PARAMS, RANKS, ALPHAS)
    return [
        Point(base.replace(rank=rank, reg_param=reg, alpha=alpha), FeedbackParams())
        for reg, rank, alpha in points
    ]


def on_border(best: ALSParams) -> list[str]:
    """Name the axes on whose end the best point lies."""
    return [name for name, values in AXES.items() if getattr(best, name) in (values[0], values[-1])]


def beyond(best: ALSParams) -> dict[str, Point]:
    """One step out of the grid along each axis on whose end the best point lies.

    The step is the ratio of the two values at that end.
    """
    steps = {}
    for name in on_border(best):
        values = AXES[name]
        end, before = (values[-1], values[-2]) if getattr(best, name) == values[-1] else values[:2]
        further = type(end)(round(end * end / before, 12))
        if further >= 1 or name != "rank":
            steps[name] = Point(best.replace(**{name: further}), FeedbackParams())
    return steps
