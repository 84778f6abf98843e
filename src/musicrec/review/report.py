"""`musicrec report`: one HTML file that opens anywhere, with everything it shows inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from musicrec.formatting import number, share
from musicrec.metrics.definitions import BETTER, CANNOT_TELL, IDENTICAL, WORSE, metric_title
from musicrec.metrics.intervals import CONFIDENCE
from musicrec.page.charts import COLOURS, Series
from musicrec.page.layout import NO_SIGN, SIGNS, render
from musicrec.project.revisions import Revision
from musicrec.review.compare import Compare, compare
from musicrec.review.figures import Figures
from musicrec.review.result import SLICE
from musicrec.review.sections import sections


def page(
    base: Revision, heads: Sequence[Revision], as_asked: Compare = compare
) -> tuple[str, list[str]]:
    """Lay out some revisions beside a base as HTML with no reference outside; and say the verdicts.

    `as_asked` is `compare` with the metrics, margin, slices and starts that were asked for.
    """
    shown = [Figures(base), *(Figures(head, base, as_asked) for head in heads)]
    series = [Series(one.name, COLOURS[i % len(COLOURS)]) for i, one in enumerate(shown)]
    cards = [_card(one, mine.colour) for one, mine in zip(shown, series, strict=True)][1:]
    missing = [f"Beware: {shown[0].outdated}."] if shown[0].outdated else []
    missing += [sentence for one in shown for sentence in one.missing]
    title = f"{', '.join(head.name for head in heads)} against {base.name}"
    html = render(title, "musicrec report", sections(shown, series), cards=cards, missing=missing)
    lines = []
    for card in cards:
        detail = f" ({card['sentence']})" if card["sentence"] else ""
        lines += [f"{card['name']}: {card['word']}{detail}", *card["notes"]]
        lines += [f"warning: {card['outdated']}"] if card["outdated"] else []
    return html, lines


def _card(head: Figures, colour: str) -> dict[str, Any]:
    """What the card of a revision says: the first metric in a sentence, the others as words."""
    result = head.result
    card: dict[str, Any] = {"name": head.name, "colour": colour, "baselines": head.baselines}
    card |= {"outdated": head.outdated, "sign": NO_SIGN, "notes": []}
    if result is None:
        return card | {"word": "no verdict", "sentence": head.no_verdict}
    # Not the sign of a gain where these users chose the setting.
    signs = SIGNS | {BETTER: SIGNS[CANNOT_TELL]} if result.settings_judged else SIGNS
    if not result.metrics:
        sign = NO_SIGN if head.outdated else signs[IDENTICAL]
        return card | {"word": IDENTICAL, "sign": sign, "sentence": result.title}
    (name, row), *others = result.metrics.items()
    word = result.verdict(name)
    worse = [metric_title(n) for n, other in others if other.verdict == WORSE != row.verdict]
    sentence = f"{metric_title(name)} {number(row.base)} → {number(row.head)}"
    if result.champion:
        sentence = f"Against the champion: {sentence}"
    if row.change is not None and row.change_low is not None and row.change_high is not None:
        interval = f"{share(row.change_low)} to {share(row.change_high)}"
        sentence += f", {share(row.change)} ({CONFIDENCE} interval {interval})"
    users = f"{result.n_users:,} {result.split} users; the margin is {100 * result.margin:g} %"
    return card | {
        "word": f"{word}, but worse in {', '.join(worse)}" if worse else word,
        "sign": NO_SIGN if head.outdated else signs[row.verdict],
        "sentence": sentence,
        "notes": [*result.notes, *(f"{n.partition(';')[0]}." for n in [head.no_verdict] if n)],
        "users": f"{users}; {result.training}" if result.training else users,
        "words": [
            {"metric": metric_title(n), "word": other.verdict, "sign": signs[other.verdict]}
            for n, other in others
            if SLICE not in n
        ],
    }
