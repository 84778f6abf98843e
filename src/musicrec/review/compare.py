"""`musicrec compare`: is one configuration better than another, metric by metric?

Both per-user tables hold the same users with the same held-out tracks, or there is no answer.
"""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from musicrec.errors import MusicRecError
from musicrec.evaluate.judge import described
from musicrec.metrics.intervals import (
    CONFIDENCE,
    FEWEST_USERS,
    SIGNIFICANCE,
    Comparison,
    compare_paired,
)
from musicrec.metrics.ranking import METRICS, headline_metrics
from musicrec.metrics.verdicts import BETTER, CANNOT_TELL, MARGIN, TOO_FEW, WORSE
from musicrec.params import DataParams, EvaluateParams, check_block
from musicrec.project.revisions import Revision, changes
from musicrec.reporting.markdown import markdown_table, text_table
from musicrec.review.tested import PARAMS, TABLE, settings_judged
from musicrec.storage.parquet import READING

DATA = "data/ingested"
DATA_BLOCKS = ("data", "sample")  # parameters that DATA follows from
SHOWN = 5  # of them, in a sentence
WIDTH = 100  # of text on a terminal
WHOLE: Any = {"break_long_words": False, "break_on_hyphens": False}  # names and commands
PAIR = 2  # settings that a comparison of two takes; with more, one may have been chosen
CHOSEN = "on the users that chose it"
MOST_HELD_OUT = 0.4  # share of the users; as many test users, and a fifth trains alone


@dataclass(frozen=True)
class Result:
    """Outcome of a comparison: names, whose plays, the margin, and a `Comparison` a metric.

    Attributes
    ----------
    settings_judged : int
        How many settings these users have judged in this clone, where head is called better and
        may have been chosen by that: more than base's and its own. Else 0.
    cure : str
        What a verdict would take, where there is none; else empty.
    """

    base: str
    head: str
    split: str
    n_users: int
    margin: float
    metrics: dict[str, Comparison]
    settings_judged: int = 0
    cure: str = ""

    def verdict(self, metric: str) -> str:
        """The verdict in words; `better` says so where these users may have chosen head."""
        word = self.metrics[metric].verdict
        return f"{word} {CHOSEN}" if word == BETTER and self.settings_judged else word

    @property
    def notes(self) -> list[str]:
        """Sentences that belong to the verdicts."""
        found = [self.cure] if self.cure else []
        if self.settings_judged:
            found.append(
                f"These {self.n_users:,} {self.split} users have judged {self.settings_judged} "
                f"settings in this clone, and {self.head} may be the best of them by chance. Ask "
                "the test users, once and of both: `dvc exp run -S evaluate.split=test evaluate`."
            )
        return found


def compare(
    base: Revision, head: Revision, metrics: Sequence[str] | None = None, margin: float = MARGIN
) -> Result:
    """Compare the per-user tables of two revisions.

    The bootstrap has the `evaluate.bootstrap_samples` and `evaluate.seed` of `head`.

    Parameters
    ----------
    base, head : Revision
    metrics : sequence of str, optional
        Names such as `ndcg@100`; by default the headline metrics of the list lengths that
        both revisions have. All of them count in Holm's correction. (The `spark` protocol drops
        users, other ones in other configurations, and so has no paired comparison.)
    margin : float
        The relative change that matters (0.01: one percent).

    Raises
    ------
    MusicRecError
        A table is missing; the revisions were judged on different data, splits, users or
        held-out tracks; a metric is not in both; the margin is not from 0 up to 1.
    """
    if not 0 <= margin < 1:
        raise MusicRecError(
            f"--margin {margin:g} is not allowed; it is the relative change that matters, from 0 "
            "up to 1 (0.01: one percent)"
        )
    old, new = _read(base), _read(head)
    _refuse_different_truth(base, head, old, new)
    about = [described(table.schema) for table in (old, new)]
    shared = sorted(set(about[0]["k"]) & set(about[1]["k"]))
    if metrics is None and not shared:
        raise MusicRecError(
            f"{base.name} and {head.name} have no list length (evaluate.k) in common: "
            f"{about[0]['k']} against {about[1]['k']}"
        )
    names = headline_metrics(shared) if metrics is None else list(metrics)
    old_values = {name: _values(old, name, base) for name in names}
    new_values = {name: _values(new, name, head) for name in names}
    found = compare_paired(old_values, new_values, *_bootstrap(head), margin)
    split, judged = about[0]["split"], 0
    if split == "validation" and any(row.verdict == BETTER for row in found.values()):
        judged = settings_judged(head)
    return Result(
        base=base.name,
        head=head.name,
        split=split,
        n_users=old.num_rows,
        margin=margin,
        metrics=found,
        settings_judged=judged if judged > PAIR else 0,
        cure=_cure(found, margin, split, head),
    )


def _cure(found: Mapping[str, Comparison], margin: float, split: str, head: Revision) -> str:
    """How many users a verdict would take, and which parameter holds more of them out."""
    needs = {
        name: needed
        for name, row in found.items()
        if row.verdict in (CANNOT_TELL, TOO_FEW) and (needed := row.users_needed(margin))
    }
    if not needs:
        return ""
    name = max(needs, key=lambda name: needs[name])
    row, n_needed = found[name], float(f"{needs[name]:.2g}")
    aim = f"at a margin of {100 * margin:g} %" if margin else "of a change as large as this one"
    if row.verdict == TOO_FEW:
        aim = f"where {row.n_differ:,} differ"
    text = f"{name}: a verdict {aim} takes about {n_needed:,.0f} {split} users, not {row.n_users:,}"
    data = head.read_yaml(PARAMS).get("data") or {}
    parameter = f"{split}_users"
    if data.get("protocol", "given") == "given":
        return f"{text}; hold out the plays of more users in the {split} file of data.source."
    if data["protocol"] == "temporal":
        return f"{text}; hold out a longer time, by data.{split}_from."
    share = data.get(parameter, getattr(DataParams(), parameter))
    needed = share * n_needed / row.n_users
    if needed <= MOST_HELD_OUT:
        return (
            f"{text}; hold more out, in both: -S data.{parameter}={math.ceil(100 * needed) / 100}."
        )
    text += ", more than these plays have"
    if row.verdict == CANNOT_TELL and row.change_low is not None and row.change_high is not None:
        half = math.ceil(50 * (row.change_high - row.change_low)) / 100
        text += f"; they can tell at --margin {half:g}"
    return f"{text}. (data.{parameter} is {share:g}; {MOST_HELD_OUT:g} would be the most.)"


def same_table(base: Revision, head: Revision) -> bool:
    """Whether both have one and the same per-user table, by its hash in dvc.lock."""
    hashes = {revision.output_hash(TABLE) for revision in (base, head)}
    return len(hashes) == 1 and None not in hashes


def same_table_sentence(base: Revision, head: Revision) -> str:
    """Say so, where the table itself is out of reach."""
    return (
        f"{base.name} and {head.name} have the same {TABLE}, by its hash in dvc.lock: "
        "every metric is identical."
    )


def as_json(result: Result) -> str:
    """All figures, unrounded."""
    return json.dumps(asdict(result), indent=2, sort_keys=True)


def as_text(result: Result) -> str:
    """A table for a terminal."""
    header = _header(result)
    table = text_table(header, _rows(result), right=range(1, len(header) - 1))
    blocks = [_footnote(result), *result.notes]
    lines = [line for block in blocks for line in ("", textwrap.fill(block, WIDTH, **WHOLE))]
    return "\n".join([_title(result), "", table, *lines])


def as_markdown(result: Result) -> str:
    """A table for a pull request."""
    rows = _rows(result, emphasis="**")
    table = markdown_table(_header(result), rows, right=range(1, 6))
    blocks = [_title(result), table, *(f"**{note}**" for note in result.notes), _footnote(result)]
    return "\n\n".join(blocks)


def _header(result: Result) -> list[str]:
    return ["metric", result.base, result.head, "change", f"{CONFIDENCE} interval", "p", "verdict"]


def _rows(result: Result, emphasis: str = "") -> list[list[str]]:
    rows = []
    for name, row in result.metrics.items():
        p_value = "< 0.0001" if row.adjusted_p_value < 0.0001 else f"{row.adjusted_p_value:.4f}"
        sure = emphasis if row.verdict in (BETTER, WORSE) else ""
        if row.change is None:  # no share of a base that may be 0
            change, interval = f"{row.difference:+.6f}", f"{row.low:+.6f} to {row.high:+.6f}"
        else:
            change, interval = percent(row.change), interval_text(row.change_low, row.change_high)
        rows.append(
            [
                name,
                f"{row.base:.6f}",
                f"{row.head:.6f}",
                change,
                interval,
                p_value,
                f"{sure}{result.verdict(name)}{sure}",
            ]
        )
    return rows


def percent(share: float) -> str:
    """Write a relative change in words: 0.0123 is `+1.23 %`."""
    return f"{100 * share:+.2f} %"


def interval_text(low: float | None, high: float | None) -> str:
    """Write the interval of a relative change: `-0.12 to +2.30 %`."""
    return "" if low is None or high is None else f"{100 * low:+.2f} to {percent(high)}"


def _title(result: Result) -> str:
    return f"{result.base} against {result.head}: {result.n_users:,} {result.split} users"


def _footnote(result: Result) -> str:
    words = (
        f"Paired over users: change of the mean with its {CONFIDENCE} bootstrap interval, p of the "
        f"paired t-test after Holm's correction for the {len(result.metrics)} metrics, which the "
        "interval does not have; "
        f"better or worse where p < {SIGNIFICANCE:g}"
    )
    if result.margin:
        words += (
            f", no worse or equivalent where the whole interval lies above or within "
            f"the margin of {100 * result.margin:g} %"
        )
    if any(row.verdict == TOO_FEW for row in result.metrics.values()):
        words += f"; too few users where fewer than {FEWEST_USERS} differ"
    return f"{words}."


def _read(revision: Revision) -> pa.Table:
    content = revision.read(TABLE)
    if content is None:
        raise MusicRecError(
            f"{revision.name} has no {TABLE}; run `dvc repro evaluate` there, or `dvc pull`"
        )
    # By this thread alone, from memory: Arrow's threads (`pq.read_table` has one even without
    # `use_threads`), still holding a Python object when the interpreter ends, abort the process.
    buffer = pa.BufferReader(pa.py_buffer(content))
    try:
        with pq.ParquetFile(buffer, pre_buffer=False, **READING) as file:
            return file.read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise MusicRecError(
            f"{TABLE} of {revision.name} is damaged ({str(error).splitlines()[0]}); run "
            "`dvc repro evaluate` there, or `dvc checkout --force`"
        ) from None


def _bootstrap(revision: Revision) -> tuple[int, int]:
    """Resamples and seed, as a revision's parameters have them."""
    written = revision.read_yaml(PARAMS).get("evaluate", {})
    named = {key: written[key] for key in ("bootstrap_samples", "seed") if key in written}
    settings = check_block({"evaluate": named}, EvaluateParams, f"{PARAMS} of {revision.name}")
    return settings.bootstrap_samples, settings.seed


def _refuse_different_truth(base: Revision, head: Revision, old: pa.Table, new: pa.Table) -> None:
    pair = f"{base.name} and {head.name} cannot be compared:"
    splits = [described(table.schema)["split"] for table in (old, new)]
    if splits[0] != splits[1]:
        raise MusicRecError(f"{pair} they judge different splits, {splits[0]} and {splits[1]}")
    seen = [described(table.schema)["seen"] for table in (old, new)]
    if seen[0] != seen[1]:
        raise MusicRecError(
            f"{pair} they judge different lists, with evaluate.seen = {seen[0]} and {seen[1]}; run "
            "one of them again with the other's"
        )
    data = [revision.output_hash(DATA) for revision in (base, head)]
    if None not in data and data[0] != data[1]:
        raise MusicRecError(
            f"{pair} their data differ: {_data_difference(base, head)}; compare models "
            "of the same plays: commit those that count, and run the experiment again"
        )
    users = [table.column("user_id") for table in (old, new)]
    if not users[0].equals(users[1]):
        common = pc.sum(pc.is_in(users[0], users[1])).as_py()
        raise MusicRecError(
            f"{pair} their users differ, {len(users[0]):,} and {len(users[1]):,} with {common:,} "
            "in common; run one of them again on the other's data"
        )
    differ = pc.sum(pc.not_equal(old.column("truth"), new.column("truth"))).as_py()
    if differ:
        raise MusicRecError(
            f"{pair} {differ:,} of {old.num_rows:,} users have different held-out tracks; "
            "run one of them again on the other's data"
        )


def _data_difference(base: Revision, head: Revision) -> str:
    """Say which parameters of the data differ, or that the plays themselves do."""
    old, new = (revision.read_yaml(PARAMS) for revision in (base, head))
    of_data = [{block: params.get(block) for block in DATA_BLOCKS} for params in (old, new)]
    found = [f"{name} is {a!r} and {b!r}" for name, (a, b) in changes(*of_data).items()]
    if not found:
        return f"the same parameters, but other plays or another ingest ({DATA} in dvc.lock)"
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more


def _values(table: pa.Table, name: str, revision: Revision) -> np.ndarray:
    known = [column for column in table.column_names if column.partition("@")[0] in METRICS]
    if name not in known:
        raise MusicRecError(
            f"{name} is not a metric that {revision.name} can be compared by; "
            f"it has {', '.join(known)}"
        )
    return table.column(name).to_numpy()
