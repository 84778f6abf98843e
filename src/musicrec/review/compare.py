"""`musicrec compare`: is one configuration better than another, metric by metric?

Both per-user tables hold the same users with the same held-out tracks, or there is no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from musicrec.errors import MusicRecError
from musicrec.evaluate.judge import described, truth_digest
from musicrec.evaluate.report import SLICES, slice_labels
from musicrec.metrics import definitions
from musicrec.metrics.definitions import MARGIN, METRICS, direction, headline_metrics
from musicrec.metrics.intervals import Comparison, compare_paired, compare_starts
from musicrec.params import EvaluateParams, check_block
from musicrec.project import PARAMS, JudgedLists, Revision
from musicrec.review.result import SLICE, Result
from musicrec.review.tables import require_same_truth, tables_of
from musicrec.review.tested import settings_judged

Compare = Callable[..., Result]  # `compare`, some of its parameters given
PAIR = 2  # settings that a comparison of two takes; with more, one may have been chosen


def compare(
    base: Revision,
    head: Revision,
    metrics: Sequence[str] | None = None,
    margin: float = MARGIN,
    by: Sequence[str] = (),
    starts: int = 1,
) -> Result:
    """Compare the per-user tables of two revisions, by the bootstrap of head's parameters.

    Parameters
    ----------
    metrics : sequence of str, optional
        Names such as `ndcg@100`; by default the headline metrics of the list lengths that
        both revisions have. All of them count in Holm's correction.
    margin : float
        The relative change that matters (0.01: one percent).
    by : sequence of str
        Also compare by slices of the users (`history`, `popularity`), as base's table has them;
        these count in the correction too. Metrics of all lists together have no slices.
    starts : int
        With two and more both are trained anew from so many seeds, and the variance between them
        counts (`compare_starts`).

    Raises
    ------
    MusicRecError
        A table is missing; the revisions were judged on different data, splits, users or
        held-out tracks; a metric is not in both.
    """
    tables = tables_of(base, head, starts)
    if not tables:
        return Result(base.name, head.name, "", 0, margin, {})
    old, new = (of_starts[0] for of_starts in tables)
    require_same_truth(base, head, old, new)
    names = list(metrics or _metrics_of_both(base, head, old, new))
    values, others = (
        {name: np.stack([_values(revision, table, name) for table in rows]) for name in names}
        for revision, rows in zip((base, head), tables, strict=True)
    )
    for part, users in _slices(old, by):
        for name in names:
            known = users & ~np.isnan(values[name] + others[name]).any(axis=0)
            if METRICS[name.partition("@")[0]].of != "all" and np.sum(known) > (starts > 1):
                for side in (values, others):
                    side[f"{name}{SLICE}{part}"] = np.where(known, side[name], np.nan)
    if starts > 1:
        found = compare_starts(values, others, margin)
    else:
        one, other = ({name: rows[0] for name, rows in side.items()} for side in (values, others))
        written = head.read_yaml(PARAMS).get("evaluate", {})
        known = {key: written[key] for key in ("bootstrap_samples", "seed") if key in written}
        by_head = check_block({"evaluate": known}, EvaluateParams, f"{PARAMS} of {head.name}")
        bootstrap = by_head.bootstrap_samples, by_head.seed
        found = compare_paired(one, other, *bootstrap, margin)
    split, judged = described(old.schema)["split"], 0
    better_here = any(row.verdict == definitions.BETTER for row in found.values())
    if split == "validation" and better_here and not isinstance(head, JudgedLists):
        judged = settings_judged(head, truth_digest(new.column("truth").to_numpy()))
    return Result(
        base=base.name,
        head=head.name,
        split=split,
        n_users=old.num_rows,
        margin=margin,
        metrics=found,
        settings_judged=judged if judged > PAIR else 0,
        cure=_cure(found, margin, split, old.num_rows) if starts == 1 else "",
        starts=starts,
        champion=base.champion,
        lists=any(isinstance(one, JudgedLists) and not one.champion for one in (base, head)),
    )


def _metrics_of_both(base: Revision, head: Revision, old: pa.Table, new: pa.Table) -> list[str]:
    """The headline metrics of the list lengths of both tables, where both have them."""
    ks = [described(table.schema)["k"] for table in (old, new)]
    shared = sorted(set(ks[0]) & set(ks[1]))
    if not shared:
        raise MusicRecError(
            f"{base.name} and {head.name} have no list length (evaluate.k) in common: "
            f"{ks[0]} against {ks[1]}"
        )
    both = {*old.column_names} & {*new.column_names}  # a metric may be newer than base
    return [name for name in headline_metrics(shared) if name in both]


def _cure(found: Mapping[str, Comparison], margin: float, split: str, n_users: int) -> str:
    """How many users a verdict would take, and which margin these can tell."""
    sentences: list[str] = []
    for verdict in (definitions.CANNOT_TELL, definitions.TOO_FEW):
        needs = {
            name: row.users_needed(margin, direction(name)) or 0
            for name, row in found.items()
            if row.verdict == verdict and row.n_users == n_users
        }
        name = max(needs, key=needs.__getitem__, default="")
        if not needs.get(name):
            continue
        aim = f"at a margin of {100 * margin:g} %" if margin else "of a change as large as this one"
        if verdict == definitions.TOO_FEW:
            aim = f"where {found[name].n_differ:,} differ"
        needed = float(f"{needs[name]:.2g}")
        text = f"{name}: a verdict {aim} takes about {needed:,.0f} {split} users, not {n_users:,}"
        if not sentences:
            text += f"; hold more out (data.{split}_users; temporal: data.{split}_from; given: more"
            text += " plays)"
        told = found[name].margin_needed(direction(name))
        if verdict == definitions.CANNOT_TELL and told:
            text += f", or ask for what these can tell: --margin {told:g}"
        sentences.append(f"{text}.")
    return " ".join(sentences)


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
