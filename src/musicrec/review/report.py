"""`musicrec report`: one HTML file that opens anywhere, with everything it shows inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from musicrec.formatting import number, share
from musicrec.metrics.definitions import BETTER, CANNOT_TELL, IDENTICAL, MARGIN, WORSE, metric_title
from musicrec.metrics.intervals import CONFIDENCE
from musicrec.page.charts import COLOURS, Series
from musicrec.page.layout import NO_SIGN, SIGNS, render
from musicrec.project.revisions import Revision
from musicrec.review.figures import Figures, read_figures
from musicrec.review.result import SLICE
from musicrec.review.sections import sections


def page(
    base: Revision,
    heads: Sequence[Revision],
    margin: float = MARGIN,
    metrics: Sequence[str] | None = None,
    by: Sequence[str] = (),
    starts: int = 1,
) -> tuple[str, list[str]]:
    """Lay out some revisions beside a base as HTML with no reference outside; and say the verdicts.

    The other parameters are those of `musicrec.review.compare.compare`.
    """
    shown = [read_figures(base)]
    shown += [read_figures(head, base, margin, metrics, by, starts) for head in heads]
    series = [Series(one.name, COLOURS[i % len(COLOURS)]) for i, one in enumerate(shown)]
    cards = [_card(one, mine.colour) for one, mine in zip(shown, series, strict=True)][1:]
    missing = [f"Beware: {shown[0].outdated}."] if shown[0].outdated else []
    missing += [sentence for one in shown for sentence in one.missing]
    title = f"{', '.join(head.name for head in heads)} against {base.name}"
    html = render(title, "musicrec report", sections(shown, series), cards=cards, missing=missing)
    lines = []
    for card in cards:
        line, detail = f"{card['name']}: {card['word']}", card.get("sentence") or card["why"]
        line += f"; {' and '.join(card['but'])} worse" if card.get("but") else ""
        lines += [f"{line} ({detail})" if detail else line, *card.get("notes", [])]
        lines += [f"warning: {card['outdated']}"] if card["outdated"] else []
    return html, lines


def _card(head: Figures, colour: str) -> dict[str, Any]:
    """What the card of a revision says: the first metric in a sentence, the others as words."""
    result = head.result
    card: dict[str, Any] = {"name": head.name, "colour": colour, "baselines": head.baselines}
    card |= {"outdated": head.outdated, "word": "no verdict", "sign": NO_SIGN}
    if result is None:
        return card | {"why": head.no_verdict}
    if not result.metrics:
        return card | {
            "word": IDENTICAL,
            "sign": NO_SIGN if head.outdated else SIGNS[IDENTICAL],
            "why": result.title,
        }
    # Not the sign of a gain where these users chose the setting.
    signs = SIGNS | {BETTER: SIGNS[CANNOT_TELL]} if result.settings_judged else SIGNS
    (name, row), *others = result.metrics.items()
    sentence = f"{metric_title(name)} {number(row.base)} → {number(row.head)}"
    if result.champion:
        sentence = f"Against the champion: {sentence}"
    if row.change is not None and row.change_low is not None and row.change_high is not None:
        interval = f"{share(row.change_low)} to {share(row.change_high)}"
        sentence += f", {share(row.change)} ({CONFIDENCE} interval {interval})"
    users = f"{result.n_users:,} {result.split} users; the margin is {100 * result.margin:g} %"
    if result.starts > 1:
        users += f"; {result.starts} starts of each"
    elif not result.lists:
        how = "" if result.champion else " (--starts 3)"
        users += f"; one training run each, and another start may give another verdict{how}"
    return card | {
        "word": result.verdict(name),
        "but": [metric_title(n) for n, other in others if other.verdict == WORSE != row.verdict],
        "sign": NO_SIGN if head.outdated else signs[row.verdict],
        "sentence": sentence,
        "notes": [*result.notes, *(f"{n.partition(';')[0]}." for n in [head.no_verdict] if n)],
        "users": users,
        "words": [
            {"metric": metric_title(n), "word": other.verdict, "sign": signs[other.verdict]}
            for n, other in others
            if SLICE not in n
        ],
    }
