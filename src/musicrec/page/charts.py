"""Charts of the page: rows in, a Vega-Lite specification and the table behind it out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import altair as alt

from musicrec.formatting import number

Rows = list[dict[str, Any]]
HEIGHT = 240
# Mid tones that stand out from white and from near-black alike, told apart by the colour-blind:
# after Okabe and Ito, Color universal design, 2008. The first is the base's.
COLOURS = ("#7d8794", "#2f7de1", "#e0712f", "#1f9d76", "#b565c9", "#c9a227", "#d1495b", "#4aa3c7")
BASELINE_COLOURS = {
    "champion": "#9c5a7c",
    "ease": "#8a6fb0",
    "neighbours": "#a67c52",
    "popularity": "#b3a98f",
}
DASHED, DOTTED = [6, 4], [2, 3]
SHAPES = {  # of points, as Vega names them and as a legend shows them
    "circle": "●",
    "square": "■",
    "triangle-up": "▲",
    "diamond": "◆",
    "triangle-down": "▼",
    "cross": "✚",
    "triangle-right": "▶",
    "triangle-left": "◀",
}
NAMED = alt.Axis(title=None, domain=False, ticks=False, labelOverlap=False)  # a name a row
TEXT = "currentColor"  # of the page, light or dark
CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": "system-ui, sans-serif",  # as the page; Vega measures labels with it
    "view": {"stroke": None},
    "axis": {
        "labelColor": TEXT,
        "titleColor": TEXT,
        "domainColor": TEXT,
        "tickColor": TEXT,
        "gridColor": TEXT,
        "gridOpacity": 0.12,
        "domainOpacity": 0.4,
        "tickOpacity": 0.4,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 8,
        "labelLimit": 220,
        "labelOverlap": "greedy",  # on a phone some are left out, none stands on another
        "labelSeparation": 6,
    },
}


@dataclass(frozen=True)
class Series:
    """One line of a legend."""

    name: str
    colour: str
    dash: list[int] = field(default_factory=list)
    shape: str = ""

    @property
    def glyph(self) -> str:
        """Character that looks like the shape."""
        return SHAPES.get(self.shape, "")


@dataclass(frozen=True)
class Figure:
    """A chart and the table behind it; the functions below give it its `spec`.

    Attributes
    ----------
    key : str
        Unique on the page; also the name of the chart's data.
    title : str
    rows : list of dict
        What is drawn. `series` names the line of the legend that a row belongs to.
    columns : dict of str to str
        Of the table: key in `rows` to heading.
    series : sequence of Series
    spec : dict
        Vega-Lite.
    """

    key: str
    title: str
    rows: Rows
    columns: dict[str, str]
    series: Sequence[Series]
    spec: dict[str, Any] = field(default_factory=dict)

    @property
    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and cells of the table behind the chart."""
        named = self.columns.items()
        cells = [
            [number(row.get(key), 2 if title.endswith("%") else None) for key, title in named]
            for row in self.rows
        ]
        return list(self.columns.values()), cells


@dataclass(frozen=True)
class Axis:
    """A field of the rows on an axis: its title, with the unit, and how it is drawn."""

    field: str
    title: str
    log: bool = False
    zero: bool = False
    values: Sequence[float] | None = None
    format: str = ""
    domain: tuple[float, float] | None = None

    def channel(self, kind: type[alt.X] | type[alt.Y]) -> Any:
        """The axis as a channel of Altair."""
        scale: dict[str, Any] = {"zero": self.zero}
        if self.log:
            scale = {"type": "log", "nice": False, "padding": 12}
        if self.domain is not None:
            scale["domain"] = list(self.domain)
        ticks: dict[str, Any] = {"tickCount": 5}
        if self.values is not None:
            ticks = {"values": list(self.values)}
        if self.format:
            ticks["format"] = self.format
        axis = alt.Axis(title=self.title, **ticks)
        return kind(self.field, type="quantitative", scale=alt.Scale(**scale), axis=axis)


def lines(figure: Figure, x: Axis, y: Axis) -> Figure:
    """Draw a line with points a series."""
    base = alt.Chart().encode(x=x.channel(alt.X), y=y.channel(alt.Y), color=_colour(figure))
    dash = alt.StrokeDash(
        "series:N",
        scale=alt.Scale(
            domain=[series.name for series in figure.series],
            range=[series.dash or [1, 0] for series in figure.series],
        ),
        legend=None,
    )
    return _drawn(
        figure,
        [
            base.mark_line(strokeWidth=2).encode(strokeDash=dash),
            base.mark_point(filled=True, size=36, opacity=1).encode(tooltip=_tooltip(figure)),
        ],
    )


def points(figure: Figure, x: Axis, y: Axis) -> Figure:
    """Draw a point a row."""
    base = alt.Chart().encode(x=x.channel(alt.X), y=y.channel(alt.Y), color=_colour(figure))
    marks = base.mark_point(filled=True, size=44, opacity=0.8)
    return _drawn(figure, [marks.encode(tooltip=_tooltip(figure))])


def bars(figure: Figure, category: str, value: Axis) -> Figure:
    """Draw a bar a row from left to right, in the order of the rows."""
    names = [row[category] for row in figure.rows]
    axis = alt.Axis(title=value.title, tickCount=5)
    marks = alt.Chart().encode(
        y=alt.Y(f"{category}:N", sort=names, axis=NAMED),
        x=alt.X(f"{value.field}:Q", axis=axis),
        color=_colour(figure),
        tooltip=_tooltip(figure),
    )
    return _drawn(figure, [marks.mark_bar()], height=max(90, 30 * len(names)))


def fronts(figure: Figure, x: Axis, y: Axis, kind: str, kinds: Sequence[Series]) -> Figure:
    """Draw points whose shape tells `kind`, and join those that are on the `front` of their kind.

    Rows hold `front`: whether no other of the same series and kind is better in both.
    """
    shapes = alt.Scale(domain=[one.name for one in kinds], range=[one.shape for one in kinds])
    base = alt.Chart().encode(
        x=x.channel(alt.X),
        y=y.channel(alt.Y),
        color=_colour(figure),
    )
    joined = base.mark_line(strokeWidth=1.5, opacity=0.7).encode(
        detail=f"{kind}:N", order=alt.Order(f"{x.field}:Q")
    )
    points = base.mark_point(filled=True, size=56).encode(
        shape=alt.Shape(f"{kind}:N", scale=shapes, legend=None),
        opacity=alt.condition("datum.front", alt.value(1), alt.value(0.3)),
        tooltip=_tooltip(figure),
    )
    return _drawn(figure, [joined.transform_filter("datum.front"), points], height=320)


def intervals_across(figure: Figure, category: str, value: Axis, band: float = 0.0) -> Figure:
    """Draw a value with its interval (`low`, `high`) from left to right, a line a category.

    A dashed line stands at 0; from -`band` to +`band` the ground is shaded.
    """
    names = list(dict.fromkeys(row[category] for row in figure.rows))
    order = [series.name for series in figure.series]
    base = alt.Chart().encode(
        y=alt.Y(f"{category}:N", sort=names, axis=NAMED),
        yOffset=alt.YOffset("series:N", sort=order, scale=alt.Scale(paddingOuter=0.5)),
        color=_colour(figure),
    )
    zero = alt.Chart(alt.InlineData(values=[{"at": 0, "from": -band, "to": band}]))
    axis = alt.Axis(title=value.title, tickCount=5)
    layers = [
        zero.mark_rect(opacity=0.12 if band else 0, color=TEXT).encode(x="from:Q", x2="to:Q"),
        zero.mark_rule(opacity=0.5, color=TEXT, strokeDash=[4, 3]).encode(x="at:Q"),
        base.mark_rule(strokeWidth=2.5).encode(x=alt.X("low:Q", axis=axis), x2="high:Q"),
        base.mark_point(filled=True, size=70, opacity=1).encode(
            x=alt.X(f"{value.field}:Q"), tooltip=_tooltip(figure)
        ),
    ]
    return _drawn(figure, layers, height=max(90, len(names) * (18 + 16 * len(order))))


def intervals_up(figure: Figure, category: Axis, value: Axis) -> Figure:
    """Draw a value with its interval (`low`, `high`) upwards, side by side in each category."""
    names = list(dict.fromkeys(row[category.field] for row in figure.rows))
    order = [series.name for series in figure.series]
    axis = alt.Axis(title=category.title, labelAngle=0, ticks=False)
    base = alt.Chart().encode(
        x=alt.X(f"{category.field}:N", sort=names, axis=axis),
        xOffset=alt.XOffset("series:N", sort=order, scale=alt.Scale(paddingOuter=0.6)),
        color=_colour(figure),
    )
    up = alt.Axis(title=value.title, tickCount=5)
    layers = [
        base.mark_rule(strokeWidth=1.5).encode(y=alt.Y("low:Q", axis=up), y2="high:Q"),
        base.mark_point(filled=True, size=44, opacity=1).encode(
            y=alt.Y(f"{value.field}:Q"), tooltip=_tooltip(figure)
        ),
    ]
    return _drawn(figure, layers)


def _drawn(figure: Figure, layers: list[alt.Chart], height: int = HEIGHT) -> Figure:
    data = alt.InlineData(values=figure.rows, name=figure.key)
    chart = alt.layer(*layers, data=data, width="container", height=height)
    fit = {"type": "fit-x", "contains": "padding"}
    spec = chart.to_dict() | {"config": CONFIG, "autosize": fit, "description": figure.title}
    return replace(figure, spec=spec)


def _colour(figure: Figure) -> alt.Color:
    domain = [series.name for series in figure.series]
    colours = [series.colour for series in figure.series]
    return alt.Color("series:N", scale=alt.Scale(domain=domain, range=colours), legend=None)


def _tooltip(figure: Figure) -> list[alt.Tooltip]:
    return [
        alt.Tooltip(key, type=_kind(row.get(key) for row in figure.rows), title=title)
        for key, title in figure.columns.items()
    ]


def _kind(values: Iterable[Any]) -> Literal["quantitative", "nominal"]:
    known = [value for value in values if value is not None]
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in known)
    return "quantitative" if known and numbers else "nominal"
