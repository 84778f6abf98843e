"""What a comparison found: verdicts, what stops a change, and its forms for people and programs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from musicrec.formatting import NOTHING, Table
from musicrec.metrics.definitions import BETTER, GATES, IDENTICAL, TOO_FEW, WORSE, direction
from musicrec.metrics.intervals import CONFIDENCE, FEWEST_USERS, SIGNIFICANCE, Comparison
from musicrec.project import TABLE

SLICE = ", "  # between a metric and a slice
CHOSEN = "on the users that chose it"
WIDTH = 100  # of text on a terminal


@dataclass(frozen=True)
class Result:
    """Outcome of a comparison: names, whose plays, the margin, and a `Comparison` a metric.

    Attributes
    ----------
    metrics : dict of str to Comparison
        Empty where the tables are out of reach, but one and the same by their hash in dvc.lock.
    settings_judged : int
        How many settings these users have judged in this clone, where head is called better and
        may have been chosen by that: more than base's and its own. Else 0.
    cure : str
        What a verdict would take, where there is none; else empty.
    starts, champion, lists
        Training runs of each side; what is known of the champion, where base is one; whether a side
        is lists of `musicrec judge`, of which no training run is known.
    """

    base: str
    head: str
    split: str
    n_users: int
    margin: float
    metrics: dict[str, Comparison]
    settings_judged: int = 0
    cure: str = ""
    starts: int = 1
    champion: Mapping[str, Any] | None = None
    lists: bool = False

    def verdict(self, metric: str) -> str:
        """The verdict in words; `better` says so where these users may have chosen head."""
        word = self.metrics[metric].verdict
        return f"{word} {CHOSEN}" if word == BETTER and self.settings_judged else word

    def stopping(self, gate: str) -> dict[str, str]:
        """Verdicts, by metric, that stop the change at a gate of `GATES`; none if it passes.

        A part of the users that is too small for a verdict stops none, nor does a metric of which
        neither direction is better.
        """
        said = {
            name: row.verdict
            for name, row in self.metrics.items()
            if direction(name) != "neither" and (row.verdict != TOO_FEW or SLICE not in name)
        }
        if not self.metrics:
            said = {"every metric": IDENTICAL}
        return {name: verdict for name, verdict in said.items() if verdict in GATES[gate]}

    def gate_sentence(self, gate: str) -> str:
        """Say whether the change passes, and what stops it."""
        stops = [f"{name}: {verdict}" for name, verdict in self.stopping(gate).items()]
        if not stops:
            return f"Gate: passed (--fail-on {gate})."
        return f"Gate: FAILED (--fail-on {gate}): {', '.join(stops)}."

    @property
    def training(self) -> str:
        """How many training runs the verdicts are of; nothing where lists have none."""
        if self.lists:
            return ""
        if self.starts > 1:
            return f"{self.starts} starts of each"
        how = "" if self.champion else ": --starts 3 counts what another start changes"
        return f"one training run each{how}"

    @property
    def title(self) -> str:
        """What was compared on whom; that is all where the tables are the same."""
        if self.metrics:
            return f"{self.base} against {self.head}: {self.n_users:,} {self.split} users"
        return (
            f"{self.base} and {self.head} have the same {TABLE}, by its hash in dvc.lock: "
            "every metric is identical."
        )

    @property
    def notes(self) -> list[str]:
        """Sentences that belong to the verdicts."""
        found = [self.cure] if self.cure else []
        if self.starts > 1:
            moved = ", ".join(
                f"{name} by {_sd(row)} %"
                for name, row in self.metrics.items()
                if row.base > 0 and SLICE not in name
            )
            found.append(
                f"Another start moves {moved} (standard deviation over {self.starts} starts of "
                "each). All were trained by the code of the workspace."
            )
        if self.champion:
            share, unsure = self.champion["unknown"], self.champion["unsure"]
            words = [f"The champion is {self.champion['folder']}"]
            if share:
                words.append(
                    f"{100 * share:.2g} % of the held-out plays are of tracks that it does not "
                    "know, and are misses"
                )
            if unsure:
                words.append(
                    f"it may have been trained on {unsure:,} of the held-out plays: times are "
                    "missing"
                )
            found.append(f"{'; '.join(words)}.")
        if self.settings_judged:
            found.append(
                f"These {self.n_users:,} {self.split} users have judged {self.settings_judged} "
                f"settings in this clone, and {self.head} may be the best of them by chance. Ask "
                "the test users, once and of both: `dvc exp run -S evaluate.split=test evaluate` "
                "(with data.protocol: temporal they need data.test_from)."
            )
        return found


def _sd(row: Comparison) -> str:
    """Standard deviation over starts, in percent of the mean of base."""
    percents = 100 * (row.start_sd or 0.0) / row.base
    return f"{percents:.2f}" if percents >= 0.01 else f"{percents:.1g}"


def as_json(result: Result) -> str:
    """All figures, unrounded."""
    return json.dumps(asdict(result), indent=2, sort_keys=True)


def as_text(result: Result) -> str:
    """A table for a terminal."""
    if not result.metrics:
        return result.title
    blocks = [result.title, _table(result).text()]
    for text in (_footnote(result), *result.notes):  # names and commands stay whole
        tied = text.replace(" %", "\N{NO-BREAK SPACE}%")
        whole = textwrap.fill(tied, WIDTH, break_long_words=False, break_on_hyphens=False)
        blocks.append(whole.replace("\N{NO-BREAK SPACE}", " "))
    return "\n\n".join(blocks)


def as_markdown(result: Result) -> str:
    """A table for a pull request."""
    if not result.metrics:
        return result.title
    table = _table(result, emphasis="**").markdown()
    blocks = [result.title, table, *(f"**{note}**" for note in result.notes), _footnote(result)]
    return "\n\n".join(blocks)


def percent(share: float) -> str:
    """Write a relative change in words: 0.0123 is `+1.23 %`."""
    return f"{100 * share:+.2f} %"


def _table(result: Result, emphasis: str = "") -> Table:
    """A row a metric."""
    sliced = any(row.n_users < result.n_users for row in result.metrics.values())
    users = ["users"] if sliced else []
    interval = f"{CONFIDENCE} interval"
    header = ["metric", *users, result.base, result.head, "change", interval, "p", "verdict"]
    rows = []
    for name, row in result.metrics.items():
        p_value = "< 0.0001" if row.adjusted_p_value < 0.0001 else f"{row.adjusted_p_value:.4f}"
        if row.verdict == TOO_FEW:
            p_value = NOTHING
        sure = emphasis if row.verdict in (BETTER, WORSE) else ""
        if row.change is None:  # no share of a base that may be 0
            change, interval = f"{row.difference:+.6f}", f"{row.low:+.6f} to {row.high:+.6f}"
        else:
            low, high = row.change_low, row.change_high
            change = percent(row.change)
            interval = "" if low is None or high is None else f"{100 * low:+.2f} to {percent(high)}"
        users = [f"{row.n_users:,}"] if sliced else []
        figures = [f"{row.base:.6f}", f"{row.head:.6f}", change, interval, p_value]
        rows.append([name, *users, *figures, f"{sure}{result.verdict(name)}{sure}"])
    return Table(header, rows)


def _footnote(result: Result) -> str:
    many, n_metrics = result.starts > 1, len(result.metrics)
    interval = "interval" if many else "bootstrap interval"
    words = f"Paired over users: change of the mean with its {CONFIDENCE} {interval}, p of the "
    words += "t-test of users crossed with starts" if many else "paired t-test"
    if n_metrics > 1:
        sliced = any(SLICE in name for name in result.metrics)
        words += f" after Holm's correction for the {n_metrics} "
        words += "metrics and groups of users" if sliced else "metrics"
        words += ", which the interval does not have"
    words += f"; better or worse where p < {SIGNIFICANCE:g}"
    if result.margin:
        words += ", no worse or equivalent where the whole interval lies above or within the "
        words += f"margin of {100 * result.margin:g} %"
    if any(row.verdict == TOO_FEW for row in result.metrics.values()):
        words += f"; too few users where fewer than {FEWEST_USERS} differ"
    last = f" {result.training.capitalize()}." if result.training and not many else ""
    return f"{words}.{last}"
