"""The page itself: cards and sections in, HTML with no reference outside out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import jinja2
import vl_convert

from musicrec.baselines.lists import model_title
from musicrec.review.page.section import Section
from musicrec.review.page.words import share

PACKAGES = ("musicrec", "altair", "vl-convert-python")


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
        verdicts=cards,
        sections=sections,
        missing=missing,
        specs=_script_safe({f.key: f.spec for part in sections for f in part.figures}),
        vega=vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"),
        share=share,
        model_title=model_title,
        style=_packed("page.css"),
        script=_packed("page.js"),
        versions=", ".join(f"{name} {version(name)}" for name in PACKAGES),
    )


def _packed(name: str) -> str:
    return (files("musicrec.review.page") / name).read_text(encoding="utf-8")


def _script_safe(value: Any) -> str:
    """JSON that can stand in a script element, whatever names the revisions have."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
