"""Charts of the page: rows in, a Vega-Lite specification and the table behind it out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from musicrec.formatting import Table, number

Rows = list[dict[str, Any]]
Spec = dict[str, Any]  # a part of Vega-Lite
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
COUNTS = (
    *("split", "rows", "users", "tracks", "mean", "sd", "min", "p25", "median", "p75", "max"),
    *("share_of_count_1", "cold_tracks"),
)
TEXT = "currentColor"  # of the page, light or dark
CONFIG: Spec = {
    "background": "transparent",
    "font": "system-ui, sans-serif",  # as the page; Vega measures labels with it
    "view": {"stroke": None},
    "axis": {
        **{f"{part}Color": TEXT for part in ("label", "title", "domain", "tick", "grid")},
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
    """A chart and the table behind it; the functions below give it its `spec` of Vega-Lite.

    `key` is unique on the page, and names the chart's data; of a row, `series` names the line of
    the legend that it belongs to; `columns` are the table's, key in `rows` to heading.
    """

    key: str
    title: str
    rows: Rows
    columns: dict[str, str]
    series: Sequence[Series]
    spec: Spec = field(default_factory=dict)

    @property
    def table(self) -> Table:
        """The table behind the chart."""
        named = self.columns.items()
        cells = [
            [number(row.get(key), 2 if title.endswith("%") else None) for key, title in named]
            for row in self.rows
        ]
        return Table(list(self.columns.values()), cells)


@dataclass(frozen=True)
class Axis:
    """A field of the rows on an axis: its title, with the unit, and how it is drawn."""

    field: str
    title: str
    log: bool = False
    zero: bool = False
    each: bool = False  # a tick for every value in the rows

    def channel(self, rows: Rows) -> Spec:
        """The axis in an encoding of Vega-Lite."""
        scale: Spec = {"zero": self.zero}
        if self.log:
            scale = {"type": "log", "nice": False, "padding": 12}
        axis: Spec = {"title": self.title, "tickCount": 5}
        if self.each:
            axis = {"title": self.title, "values": sorted({row[self.field] for row in rows})}
        return {"field": self.field, "type": "quantitative", "scale": scale, "axis": axis}


def lines(figure: Figure, x: Axis, y: Axis) -> list[Figure]:
    """Draw a line with points a series; as all of these, nothing where no row has a value."""
    figure = _kept(figure, x, y)
    dash = _by_series(figure, [series.dash or [1, 0] for series in figure.series])
    line = {"mark": {"type": "line", "strokeWidth": 2}, "encoding": {"strokeDash": dash}}
    return _drawn(figure, _at(figure, x, y), [line, _points(figure, 36)])


def points(figure: Figure, x: Axis, y: Axis) -> list[Figure]:
    """Draw a point a row."""
    figure = _kept(figure, x, y)
    return _drawn(figure, _at(figure, x, y), [_points(figure, 44, opacity=0.8)])


def fronts(figure: Figure, x: Axis, y: Axis, kind: str, kinds: Sequence[Series]) -> list[Figure]:
    """Draw points whose shape tells `kind`, and join those that are on the `front` of their kind.

    Rows hold `front`: whether no other of the same series and kind is better in both.
    """
    figure = _kept(figure, x, y, kind, "front")
    joined = {
        "mark": {"type": "line", "strokeWidth": 1.5, "opacity": 0.7},
        "transform": [{"filter": "datum.front"}],
        "encoding": {
            "detail": {"field": kind, "type": "nominal"},
            "order": {"field": x.field, "type": "quantitative"},
        },
    }
    marks = _points(figure, 56)
    marks["encoding"] |= {
        "shape": {
            "field": kind,
            "type": "nominal",
            "scale": {"domain": [k.name for k in kinds], "range": [k.shape for k in kinds]},
            "legend": None,
        },
        "opacity": {"condition": {"test": "datum.front", "value": 1}, "value": 0.3},
    }
    return _drawn(figure, _at(figure, x, y), [joined, marks], height=320)


def intervals(
    figure: Figure, category: Axis, value: Axis, band: float | None = None
) -> list[Figure]:
    """Draw a value with its interval (`low`, `high`), the series side by side in each category.

    Upwards; with a `band` from left to right, the ground shaded from -`band` to +`band`, with a
    line at 0.
    """
    figure = _kept(figure, category, value, "low", "high")
    along, across = ("y", "x") if band is None else ("x", "y")
    names = list(dict.fromkeys(row[category.field] for row in figure.rows))
    axis: Spec = {"title": category.title, "labelAngle": 0, "ticks": False}
    if band is not None:  # a name a row
        axis = {"title": None, "domain": False, "ticks": False, "labelOverlap": False}
    place = {"field": category.field, "type": "nominal", "sort": names, "axis": axis}
    beside = {"field": "series", "type": "nominal", "sort": [s.name for s in figure.series]}
    shared = {across: place, f"{across}Offset": beside | {"scale": {"paddingOuter": 0.5}}}
    low = {"field": "low", "type": "quantitative", "axis": {"title": value.title, "tickCount": 5}}
    rule = {
        "mark": {"type": "rule", "strokeWidth": 2},
        "encoding": {along: low, f"{along}2": {"field": "high"}},
    }
    marks = _points(figure, 56)
    marks["encoding"][along] = {"field": value.field, "type": "quantitative"}
    if band is None:
        return _drawn(figure, shared, [rule, marks])
    zero = {"values": [{"at": 0, "from": -band, "to": band}]}
    shade = {"type": "rect", "opacity": 0.12 if band else 0, "color": TEXT}
    dashed = {"type": "rule", "opacity": 0.5, "color": TEXT, "strokeDash": [4, 3]}
    x = {"type": "quantitative"}
    ground = [
        {
            "data": zero,
            "mark": shade,
            "encoding": {"x": x | {"field": "from"}, "x2": {"field": "to"}},
        },
        {"data": zero, "mark": dashed, "encoding": {"x": x | {"field": "at"}}},
    ]
    height = max(90, len(names) * (18 + 16 * len(figure.series)))
    return _drawn(figure, shared, [rule, marks], height, ground)


def _drawn(
    figure: Figure,
    shared: Spec,
    layers: Sequence[Spec],
    height: int = HEIGHT,
    ground: Sequence[Spec] = (),
) -> list[Figure]:
    colour = _by_series(figure, [series.colour for series in figure.series])
    spec = {
        "description": figure.title,
        "data": {"name": figure.key, "values": figure.rows},
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "layer": [*ground, {"encoding": shared | {"color": colour}, "layer": layers}],
        "config": CONFIG,
    }
    return [replace(figure, spec=spec)] if figure.rows else []


def _kept(figure: Figure, x: Axis, y: Axis, *more: str) -> Figure:
    """Leave of the rows those with a value, and of them what is drawn and shown."""
    names = dict.fromkeys((*figure.columns, "series", x.field, y.field, *more))
    rows = [row for row in figure.rows if row.get(y.field) is not None]
    return replace(figure, rows=[{name: row.get(name) for name in names} for row in rows])


def _at(figure: Figure, x: Axis, y: Axis) -> Spec:
    return {"x": x.channel(figure.rows), "y": y.channel(figure.rows)}


def _by_series(figure: Figure, values: Sequence[Any]) -> Spec:
    scale = {"domain": [series.name for series in figure.series], "range": values}
    return {"field": "series", "type": "nominal", "scale": scale, "legend": None}


def _points(figure: Figure, size: int, opacity: float = 1) -> Spec:
    """Points that show their row where the mouse is."""
    tooltip = []
    for key, title in figure.columns.items():
        known = [row[key] for row in figure.rows if row.get(key) is not None]
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in known)
        kind = "quantitative" if known and numbers else "nominal"
        tooltip.append({"field": key, "type": kind, "title": title})
    mark = {"type": "point", "filled": True, "size": size, "opacity": opacity}
    return {"mark": mark, "encoding": {"tooltip": tooltip}}


def counts_table(rows: Rows, *before: str) -> Table:
    """Rows of `plots/data/counts.json` as a table; `before` are columns to put before its own."""
    columns = (*before, *COUNTS)
    cells = [[_count(row.get(name)) for name in columns] for row in rows]
    return Table([name.replace("_", " ") for name in columns], cells)


def _count(value: Any) -> str:
    """A number of the table of counts, of which most are whole though they are written as 3.0."""
    whole = isinstance(value, float) and value.is_integer()
    return number(int(value) if whole else value)


def speed_by_recall(rows: Rows, series: Sequence[Series]) -> tuple[list[Figure], list[Series]]:
    """Draw rows of `plots/ann_bench/tradeoff.json`, each with its `series`; and the shapes' names.

    A shape stands for a method, whatever it was built with.
    """
    columns = {"series": "series", "build": "method", "setting": "setting", "recall": "recall"}
    columns |= {"queries_per_second": "queries per second", "map_lost": "MAP lost"}
    columns |= {"p99_milliseconds": "99th percentile, ms", "build_seconds": "build, s"}
    columns |= {"index_megabytes": "index, MB"}
    rows = [r | {"build": r["method"], "method": r["method"].partition(",")[0]} for r in rows]
    shapes = zip(dict.fromkeys(r["method"] for r in rows), itertools.cycle(SHAPES), strict=False)
    kinds = [Series(name, TEXT, shape=shape) for name, shape in shapes]
    title = "Speed against recall"
    figure = Figure("speed_by_recall", title, with_front(rows), columns, series)
    x = Axis("recall", "recall of exact search's tracks (share)")
    y = Axis("queries_per_second", "queries per second, one thread (log scale)", log=True)
    return fronts(figure, x, y, "method", kinds), kinds


def with_front(rows: Rows) -> Rows:
    """Mark the rows that no other of the same series and method beats in recall and speed."""
    keys = ("series", "method", "recall", "queries_per_second")
    settings = [tuple(row[key] for key in keys) for row in rows]
    beaten = [
        any(o[:2] == p[:2] and o != p and o[2] >= p[2] and o[3] >= p[3] for o in settings)
        for p in settings
    ]
    return [row | {"front": not worse} for row, worse in zip(rows, beaten, strict=True)]
