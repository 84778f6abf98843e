"""`musicrec report`: one HTML file that opens anywhere, with everything it shows inside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from musicrec.metrics.intervals import CONFIDENCE
from musicrec.metrics.ranking import metric_title
from musicrec.metrics.verdicts import BETTER, CANNOT_TELL, MARGIN, WORSE
from musicrec.page.charts import COLOURS, Series
from musicrec.page.layout import NO_SIGN, SIGNS, Section, Table, render
from musicrec.page.numbers import NOTHING, number, share
from musicrec.project.revisions import Revision, changes
from musicrec.review import sections
from musicrec.review.figures import Figures, read_figures
from musicrec.tune.page import found_by


class Page(NamedTuple):
    """A report: the page, and what its cards say, a line a revision."""

    html: str
    verdicts: list[str]


def page(base: Revision, heads: Sequence[Revision], margin: float = MARGIN) -> Page:
    """Lay out what is known of some revisions beside a base, as HTML with no reference outside.

    Parameters
    ----------
    base : Revision
        What each of the others is compared with.
    heads : sequence of Revision
        At least one; drawn over each other in every chart.
    margin : float
        The relative change that matters.
    """
    first = read_figures(base)
    others = [read_figures(head, base, margin) for head in heads]
    shown = [first, *others]
    series = [Series(one.name, COLOURS[i % len(COLOURS)]) for i, one in enumerate(shown)]
    parts = [
        sections.changes(others, series[1:]),
        sections.baselines(shown, series),
        sections.at_k(shown, series),
        sections.slices(shown, series),
        sections.beyond_accuracy(shown, series),
        sections.loss(shown, series),
        *found_by({one.name: one.params for one in shown}),
        sections.search(shown, series),
        sections.data(shown),
        parameters(shown),
        provenance(shown),
    ]
    parts = [part for part in parts if part.figures or part.table or part.key == "params"]
    cards = [verdict(head, first, one.colour) for head, one in zip(others, series[1:], strict=True)]
    html = render(
        f"{', '.join(head.name for head in others)} against {first.name}",
        "musicrec report",
        parts,
        cards=cards,
        missing=[
            *([f"Beware: {first.outdated}."] if first.outdated else []),
            *(sentence for one in shown for sentence in one.missing),
        ],
    )
    return Page(html, [card_line(card) for card in cards])


def card_line(card: Mapping[str, Any]) -> str:
    """A card in one line, for a terminal."""
    detail = card.get("sentence") or card.get("why", "")
    worse = f"; {' and '.join(card['but'])} worse" if card.get("but") else ""
    line = f"{card['name']}: {card['word']}{worse}" + (f" ({detail})" if detail else "")
    line = "\n".join([line, *card.get("notes", [])])
    return f"{line}\nwarning: {card['outdated']}" if card["outdated"] else line


def verdict(head: Figures, base: Figures, colour: str) -> dict[str, Any]:
    """What the card of a revision says: the headline metric in a sentence, the others as words."""
    card: dict[str, Any] = {"name": head.name, "colour": colour, "baselines": head.baselines}
    card["outdated"] = head.outdated
    if head.result is None:
        same = head.no_verdict.startswith("same ")
        word = "identical" if same else "no verdict"
        return card | {
            "word": word,
            "sign": NO_SIGN if head.outdated else SIGNS.get(word, NO_SIGN),
            "why": head.no_verdict,
        }
    words = [
        {"metric": metric_title(name), "word": row.verdict, "sign": _sign(head, row.verdict)}
        for name, row in head.result.metrics.items()
    ]
    name, row = next(iter(head.result.metrics.items()))
    sentence = f"{metric_title(name)} {number(row.base)} → {number(row.head)}"
    if row.change is not None and row.change_low is not None and row.change_high is not None:
        interval = f"{share(row.change_low)} to {share(row.change_high)}"
        sentence += f", {share(row.change)} ({CONFIDENCE} interval {interval})"
    return card | {
        "word": head.result.verdict(name),
        "but": [one["metric"] for one in words[1:] if one["word"] == WORSE != row.verdict],
        "sign": NO_SIGN if head.outdated else _sign(head, row.verdict),
        "sentence": sentence,
        "notes": head.result.notes,
        "users": f"{head.result.n_users:,} {head.result.split} users; "
        f"the margin is {100 * head.result.margin:g} %",
        "words": words[1:],
    }


def _sign(head: Figures, word: str) -> tuple[str, str]:
    """Sign and colour of a verdict: not those of a gain where the users chose the setting."""
    chosen = word == BETTER and head.result is not None and head.result.settings_judged
    return SIGNS[CANNOT_TELL] if chosen else SIGNS[word]


def parameters(revisions: Sequence[Figures]) -> Section:
    """Parameters that are not the same in all revisions."""
    differing: dict[str, None] = {}
    for revision in revisions[1:]:
        differing |= dict.fromkeys(changes(revisions[0].params, revision.params))
    cells = [[f"{key}", *(_parameter(r.params, key) for r in revisions)] for key in differing]
    header = ["parameter", *(revision.name for revision in revisions)]
    text = "Those that differ; all others are the same." if cells else "No parameter differs."
    table = Table("params", header, cells) if cells else None
    return Section("params", "Parameters", text, table=table)


def _parameter(params: Any, key: str) -> str:
    for step in key.split("."):
        if not isinstance(params, dict) or step not in params:
            return NOTHING
        params = params[step]
    return json.dumps(params)


def provenance(revisions: Sequence[Figures]) -> Section:
    """Where every figure comes from: commits, hashes, machine and library versions."""
    facts = [
        r.provenance | {f"search ran on: {k}": str(v) for k, v in r.machine.items()}
        for r in revisions
    ]
    keys = dict.fromkeys(key for fact in facts for key in fact)
    cells = [[key, *(fact.get(key, NOTHING) for fact in facts)] for key in keys]
    header = ["", *(revision.name for revision in revisions)]
    text = "Commit and hashes say which code, parameters and data made these figures."
    table = Table("provenance", header, cells)
    return Section("provenance", "Provenance", text, table=table)
