"""`musicrec compare`: is one configuration better than another, metric by metric?

Both per-user tables hold the same users with the same held-out tracks, or there is no answer.
"""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from musicrec.errors import MusicRecError
from musicrec.evaluate.judge import described
from musicrec.formatting import NOTHING, markdown_table, parameter, text_table
from musicrec.metrics.beyond_accuracy import SLICES, slice_labels
from musicrec.metrics.definitions import (
    BETTER,
    CANNOT_TELL,
    GATES,
    IDENTICAL,
    MARGIN,
    METRICS,
    TOO_FEW,
    WORSE,
    Metric,
    headline_metrics,
)
from musicrec.metrics.intervals import (
    CONFIDENCE,
    FEWEST_USERS,
    SIGNIFICANCE,
    Comparison,
    compare_paired,
    compare_starts,
)
from musicrec.params import DataParams, EvaluateParams, check_block
from musicrec.project.revisions import Judged, Revision, UnavailableError, changes
from musicrec.project.staleness import why_stale
from musicrec.review.tested import PARAMS, TABLE, settings_judged
from musicrec.storage.parquet import READING

DATA = "data/ingested"
DATA_BLOCKS = ("data", "sample")  # parameters that DATA follows from
SHOWN = 5  # of them, in a sentence
WIDTH = 100  # of text on a terminal
WHOLE: Any = {"break_long_words": False, "break_on_hyphens": False}  # names and commands
PAIR = 2  # settings that a comparison of two takes; with more, one may have been chosen
SLICE = ", "  # between a metric and a slice
CHOSEN = "on the users that chose it"
MOST_HELD_OUT = 0.4  # share of the users; as many test users, and a fifth trains alone


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
    starts : int
        Training runs of each side.
    champion : dict, optional
        What `champion_lists` says of it, where base is one.
    lists : bool
        Whether a side is lists of `musicrec judge`, of which no training run is known.
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
            if _metric(name).better != "neither" and (row.verdict != TOO_FEW or SLICE not in name)
        }
        said = said or {"every metric": IDENTICAL}
        return {name: verdict for name, verdict in said.items() if verdict in GATES[gate]}

    def gate_sentence(self, gate: str) -> str:
        """Say whether the change passes, and what stops it."""
        stops = [f"{name}: {verdict}" for name, verdict in self.stopping(gate).items()]
        if not stops:
            return f"Gate: passed (--fail-on {gate})."
        return f"Gate: FAILED (--fail-on {gate}): {', '.join(stops)}."

    @property
    def has_slices(self) -> bool:
        """Whether some rows are of a part of the users."""
        return any(row.n_users < self.n_users for row in self.metrics.values())

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
                f"{name} by {100 * (row.start_sd or 0.0) / row.base:.2g} %"
                for name, row in self.metrics.items()
                if row.base > 0 and SLICE not in name
            )
            found.append(
                f"Another start moves {moved} (standard deviation over {self.starts} starts of "
                "each). All were trained by the code of the workspace."
            )
        if self.champion:
            share, unsure = self.champion["unknown"], self.champion["unsure"]
            missed = (
                f"; {100 * share:.2g} % of the held-out plays are of tracks that it does not know, "
                "and are misses"
            )
            found.append(f"The champion is {self.champion['folder']}{missed if share else ''}.")
            if unsure:
                found.append(
                    f"It may have been trained on {unsure:,} of the held-out plays: times are "
                    "missing."
                )
        if self.settings_judged:
            found.append(
                f"These {self.n_users:,} {self.split} users have judged {self.settings_judged} "
                f"settings in this clone, and {self.head} may be the best of them by chance. Ask "
                "the test users, once and of both: `dvc exp run -S evaluate.split=test evaluate`."
            )
        return found


def outdated(revision: Revision) -> str:
    """Say why the figures of a revision are not those of its code, parameters and data, if so."""
    return "" if isinstance(revision, Judged) else why_stale(revision, ["evaluate"])


def compare(
    base: Revision,
    head: Revision,
    metrics: Sequence[str] | None = None,
    margin: float = MARGIN,
    by: Sequence[str] = (),
    starts: int = 1,
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
    by : sequence of str
        Also compare by slices of the users (`history`, `popularity`), as base's table has them;
        these count in the correction too. Metrics of all lists together have no slices.
    starts : int
        With two and more both are trained anew from so many seeds (`starts.refit`), and the
        variance between them counts (`compare_starts`).

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
    tables = _tables(base, head, starts)
    if not tables:
        return Result(base.name, head.name, "", 0, margin, {})
    old, new = (of_starts[0] for of_starts in tables)
    _refuse_different_truth(base, head, old, new)
    about = [described(table.schema) for table in (old, new)]
    shared = sorted(set(about[0]["k"]) & set(about[1]["k"]))
    if metrics is None and not shared:
        raise MusicRecError(
            f"{base.name} and {head.name} have no list length (evaluate.k) in common: "
            f"{about[0]['k']} against {about[1]['k']}"
        )
    both = set(old.column_names) & set(new.column_names)  # a metric may be newer than base
    headlines = [name for name in headline_metrics(shared) if name in both]
    names = headlines if metrics is None else list(metrics)
    values, others = (
        {name: np.stack([_values(revision, table, name) for table in rows]) for name in names}
        for revision, rows in zip((base, head), tables, strict=True)
    )
    for part, users in _slices(old, by):
        for side in (values, others):
            for name in names:
                if _metric(name).of != "all":
                    side[f"{name}{SLICE}{part}"] = np.where(users, side[name], np.nan)
    better = {name: _metric(name).better for name in values}
    if starts > 1:
        found = compare_starts(values, others, margin, better=better)
    else:
        one, other = ({name: rows[0] for name, rows in side.items()} for side in (values, others))
        found = compare_paired(one, other, *_bootstrap(head), margin, better=better)
    split, judged = about[0]["split"], 0
    better_here = any(row.verdict == BETTER for row in found.values())
    if split == "validation" and better_here and not isinstance(head, Judged):
        judged = settings_judged(head)
    return Result(
        base=base.name,
        head=head.name,
        split=split,
        n_users=old.num_rows,
        margin=margin,
        metrics=found,
        settings_judged=judged if judged > PAIR else 0,
        cure=_cure(found, margin, split, old.num_rows, head) if starts == 1 else "",
        starts=starts,
        champion=base.champion,
        lists=any(isinstance(one, Judged) and one.champion is None for one in (base, head)),
    )


def _tables(base: Revision, head: Revision, starts: int) -> list[list[pa.Table]]:
    """Per-user tables of both, one a start; nothing where they are out of reach but the same."""
    if starts > 1:
        from musicrec.review.starts import refit  # imports the solver

        return refit(base, head, starts)
    try:
        return [[per_user(base)], [per_user(head)]]
    except UnavailableError:
        hashes = {revision.output_hash(TABLE) for revision in (base, head)}
        if len(hashes) == 2 or None in hashes:
            raise
        return []


def _cure(
    found: Mapping[str, Comparison], margin: float, split: str, n_users: int, head: Revision
) -> str:
    """How many users a verdict would take, and which parameter holds more of them out."""
    needs = {
        name: needed
        for name, row in found.items()
        if row.verdict in (CANNOT_TELL, TOO_FEW)
        and row.n_users == n_users
        and (needed := row.users_needed(margin))
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


def as_json(result: Result) -> str:
    """All figures, unrounded."""
    return json.dumps(asdict(result), indent=2, sort_keys=True)


def as_text(result: Result) -> str:
    """A table for a terminal."""
    if not result.metrics:
        return result.title
    header = _header(result)
    table = text_table(header, _rows(result), right=range(1, len(header) - 1))
    blocks = [_footnote(result), *result.notes]
    lines = [line for block in blocks for line in ("", textwrap.fill(block, WIDTH, **WHOLE))]
    return "\n".join([result.title, "", table, *lines])


def as_markdown(result: Result) -> str:
    """A table for a pull request."""
    if not result.metrics:
        return result.title
    rows = _rows(result, emphasis="**")
    table = markdown_table(_header(result), rows, right=range(1, len(_header(result)) - 1))
    blocks = [result.title, table, *(f"**{note}**" for note in result.notes), _footnote(result)]
    return "\n\n".join(blocks)


def _header(result: Result) -> list[str]:
    users = ["users"] if result.has_slices else []
    interval = f"{CONFIDENCE} interval"
    return ["metric", *users, result.base, result.head, "change", interval, "p", "verdict"]


def _rows(result: Result, emphasis: str = "") -> list[list[str]]:
    rows = []
    for name, row in result.metrics.items():
        p_value = "< 0.0001" if row.adjusted_p_value < 0.0001 else f"{row.adjusted_p_value:.4f}"
        if row.verdict == TOO_FEW:
            p_value = NOTHING
        sure = emphasis if row.verdict in (BETTER, WORSE) else ""
        if row.change is None:  # no share of a base that may be 0
            change, interval = f"{row.difference:+.6f}", f"{row.low:+.6f} to {row.high:+.6f}"
        else:
            change, interval = percent(row.change), interval_text(row.change_low, row.change_high)
        users = [f"{row.n_users:,}"] if result.has_slices else []
        figures = [f"{row.base:.6f}", f"{row.head:.6f}", change, interval, p_value]
        rows.append([name, *users, *figures, f"{sure}{result.verdict(name)}{sure}"])
    return rows


def percent(share: float) -> str:
    """Write a relative change in words: 0.0123 is `+1.23 %`."""
    return f"{100 * share:+.2f} %"


def interval_text(low: float | None, high: float | None) -> str:
    """Write the interval of a relative change: `-0.12 to +2.30 %`."""
    return "" if low is None or high is None else f"{100 * low:+.2f} to {percent(high)}"


def _footnote(result: Result) -> str:
    many = result.starts > 1
    interval = "interval" if many else "bootstrap interval"
    test = "t-test of users crossed with starts" if many else "paired t-test"
    holm = (
        f" after Holm's correction for the {len(result.metrics)} metrics, which the interval does "
        "not have"
    )
    words = (
        f"Paired over users: change of the mean with its {CONFIDENCE} {interval}, p of the {test}"
        f"{holm if len(result.metrics) > 1 else ''}; better or worse where p < {SIGNIFICANCE:g}"
    )
    if result.margin:
        words += (
            f", no worse or equivalent where the whole interval lies above or within "
            f"the margin of {100 * result.margin:g} %"
        )
    if any(row.verdict == TOO_FEW for row in result.metrics.values()):
        words += f"; too few users where fewer than {FEWEST_USERS} differ"
    if many or result.lists:
        return f"{words}."
    how = "" if result.champion else ": --starts 3 counts what another start changes"
    return f"{words}. One training run each{how}."


def per_user(revision: Revision) -> pa.Table:
    """Read the per-user table of a revision."""
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
            "of the same plays: commit those that count, and run the experiment again, or judge a "
            "published bundle on the new plays too, by evaluate.champion and --champion"
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
    found = [
        f"{name} is {parameter(a)} and {parameter(b)}" for name, (a, b) in changes(*of_data).items()
    ]
    if not found:
        return f"the same parameters, but other plays or another ingest ({DATA} in dvc.lock)"
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more


def _metric(name: str) -> Metric:
    return METRICS[name.partition("@")[0]]


def _values(revision: Revision, table: pa.Table, name: str) -> np.ndarray:
    """A column of a table, NaN for null."""
    known = [column.partition("@") for column in table.column_names]
    known = [(metric, k) for metric, _, k in known if metric in METRICS]
    if tuple(name.split("@")) not in known:
        metrics, lengths = (", ".join(dict.fromkeys(part)) for part in zip(*known, strict=True))
        raise MusicRecError(
            f"{name} is not a metric that {revision.name} can be compared by; "
            f"it has {metrics} at k = {lengths}, such as {'@'.join(known[0])}"
        )
    values = table.column(name).to_numpy()
    if np.isnan(values).all():
        raise MusicRecError(f"{name}: no user of {revision.name} has a list long enough for it")
    return values


def _slices(table: pa.Table, by: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Name and users (a bool each) of every slice that somebody is in."""
    for slicing in by:
        column, edges = SLICES[slicing]
        place = np.searchsorted(edges, table.column(column).to_numpy(), side="right") - 1
        for i, label in enumerate(slice_labels(edges)):
            if (place == i).any():
                yield f"{slicing} {label}", place == i
