"""A page: cards and sections in, one HTML file with no reference outside out."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import jinja2
import vl_convert

from musicrec.baselines.lists import model_title
from musicrec.formatting import Table, share
from musicrec.page.charts import Figure, Series

PACKAGES = ("musicrec", "vl-convert-python")


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


def render(
    title: str,
    command: str,
    sections: Sequence[Section],
    *,
    cards: Sequence[dict[str, Any]] = (),
    missing: Sequence[str] = (),
) -> str:
    """Put cards and sections into the page, with the scripts that draw the charts."""
    templates = jinja2.Environment(
        loader=jinja2.FunctionLoader(_packed), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return templates.get_template("page.html").render(
        title=title,
        command=command,
        cards=cards,
        sections=sections,
        missing=missing,
        specs=_script_safe({f.key: f.spec for part in sections for f in part.figures}),
        vega=vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"),
        share=share,
        code=_with_code,
        model_title=model_title,
        style=_packed("page.css"),
        script=_packed("page.js"),
        versions=", ".join(f"{name} {version(name)}" for name in PACKAGES),
    )


def _packed(name: str) -> str:
    return (files("musicrec.page") / name).read_text(encoding="utf-8")


def _with_code(text: str) -> str:
    """HTML of a sentence, with what stands between backticks as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _script_safe(value: Any) -> str:
    """JSON that can stand in a script element, whatever names the revisions have."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
