"""`musicrec report`: one HTML file that opens anywhere, with everything it shows inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from musicrec.formatting import number, share
from musicrec.metrics.definitions import BETTER, CANNOT_TELL, IDENTICAL, MARGIN, WORSE, metric_title
from musicrec.metrics.intervals import CONFIDENCE
from musicrec.page.charts import COLOURS, Series
from musicrec.page.layout import NO_SIGN, SIGNS, render
from musicrec.project.revisions import Revision
from musicrec.review.compare import SLICE, Result
from musicrec.review.figures import Figures, read_figures
from musicrec.review.sections import sections


class Page(NamedTuple):
    """A report: the page, and what its cards say, a line a revision."""

    html: str
    verdicts: list[str]


def page(
    base: Revision,
    heads: Sequence[Revision],
    margin: float = MARGIN,
    metrics: Sequence[str] | None = None,
    by: Sequence[str] = (),
    starts: int = 1,
) -> Page:
    """Lay out what is known of some revisions beside a base, as HTML with no reference outside.

    Parameters
    ----------
    base : Revision
        What each of the others is compared with.
    heads : sequence of Revision
        At least one; drawn over each other in every chart.
    margin, metrics, by, starts
        As for `musicrec.review.compare.compare`.
    """
    first = read_figures(base)
    others = [read_figures(head, base, margin, metrics, by, starts) for head in heads]
    shown = [first, *others]
    series = [Series(one.name, COLOURS[i % len(COLOURS)]) for i, one in enumerate(shown)]
    cards = [_card(head, one.colour) for head, one in zip(others, series[1:], strict=True)]
    html = render(
        f"{', '.join(head.name for head in others)} against {first.name}",
        "musicrec report",
        sections(shown, series),
        cards=cards,
        missing=[
            *([f"Beware: {first.outdated}."] if first.outdated else []),
            *(sentence for one in shown for sentence in one.missing),
        ],
    )
    return Page(html, [_card_line(card) for card in cards])


def _card_line(card: Mapping[str, Any]) -> str:
    """A card in one line, for a terminal."""
    detail = card.get("sentence") or card.get("why", "")
    worse = f"; {' and '.join(card['but'])} worse" if card.get("but") else ""
    line = f"{card['name']}: {card['word']}{worse}" + (f" ({detail})" if detail else "")
    line = "\n".join([line, *card.get("notes", [])])
    return f"{line}\nwarning: {card['outdated']}" if card["outdated"] else line


def _card(head: Figures, colour: str) -> dict[str, Any]:
    """What the card of a revision says: the headline metric in a sentence, the others as words."""
    card: dict[str, Any] = {"name": head.name, "colour": colour, "baselines": head.baselines}
    card |= {"outdated": head.outdated} | _verdict(head)
    return card | {"sign": NO_SIGN} if head.outdated else card


def _verdict(head: Figures) -> dict[str, Any]:
    result = head.result
    if result is None:
        return {"word": "no verdict", "sign": NO_SIGN, "why": head.no_verdict}
    if not result.metrics:
        return {"word": IDENTICAL, "sign": SIGNS[IDENTICAL], "why": result.title}
    words = [
        {"metric": metric_title(name), "word": row.verdict, "sign": _sign(result, row.verdict)}
        for name, row in result.metrics.items()
    ]
    name, row = next(iter(result.metrics.items()))
    against = "" if result.champion is None else "Against the champion: "
    sentence = f"{against}{metric_title(name)} {number(row.base)} → {number(row.head)}"
    if row.change is not None and row.change_low is not None and row.change_high is not None:
        interval = f"{share(row.change_low)} to {share(row.change_high)}"
        sentence += f", {share(row.change)} ({CONFIDENCE} interval {interval})"
    return {
        "word": result.verdict(name),
        "but": [one["metric"] for one in words[1:] if one["word"] == WORSE != row.verdict],
        "sign": _sign(result, row.verdict),
        "sentence": sentence,
        "notes": [
            *result.notes,
            *([head.no_verdict.partition(";")[0] + "."] if head.no_verdict else []),
        ],
        "users": f"{result.n_users:,} {result.split} users; "
        f"the margin is {100 * result.margin:g} %{_starts(result)}",
        "words": [one for one in words[1:] if SLICE not in one["metric"]],
    }


def _starts(result: Result) -> str:
    if result.starts > 1:
        return f"; {result.starts} starts of each"
    if result.lists:
        return ""
    how = "" if result.champion else " (--starts 3)"
    return f"; one training run each, and another start may give another verdict{how}"


def _sign(result: Result, word: str) -> tuple[str, str]:
    """Sign and colour of a verdict: not those of a gain where the users chose the setting."""
    return SIGNS[CANNOT_TELL if word == BETTER and result.settings_judged else word]
