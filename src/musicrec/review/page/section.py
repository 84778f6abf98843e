"""A section of the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from musicrec.review.page.charts import (
    COLOURS,
    Figure,
    Rows,
    Series,
)
from musicrec.review.page.figures import Figures
from musicrec.review.page.tables import Table


@dataclass(frozen=True)
class Section:
    """A heading, a sentence, charts with one legend, and a table without a chart."""

    key: str
    title: str
    text: str
    figures: Sequence[Figure] = ()
    table: Table | None = None
    more_legend: Sequence[Series] = ()

    @property
    def legend(self) -> list[Series]:
        """Series of all its charts, once each."""
        found = {series.name: series for figure in self.figures for series in figure.series}
        return [*found.values(), *self.more_legend]


def revision_series(revisions: Sequence[Figures]) -> list[Series]:
    """A colour a revision, the base's first."""
    return [
        Series(revision.name, COLOURS[i % len(COLOURS)]) for i, revision in enumerate(revisions)
    ]


def labelled(rows: Iterable[dict[str, Any]], label: str) -> Rows:
    """Rows that belong to the line `label` of a legend."""
    return [row | {"series": label} for row in rows]
