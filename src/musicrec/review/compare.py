"""`musicrec compare`: is one configuration better than another, metric by metric?

Both per-user tables hold the same users with the same held-out tracks, or there is no answer.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from musicrec.baselines.lists import CHAMPION
from musicrec.errors import MusicRecError
from musicrec.evaluate.judge import described
from musicrec.evaluate.report import SLICES, slice_labels
from musicrec.formatting import parameter
from musicrec.interactions.earlier import MANIFEST, PUBLISH_FIRST
from musicrec.metrics.definitions import (
    BETTER,
    CANNOT_TELL,
    MARGIN,
    METRICS,
    TOO_FEW,
    headline_metrics,
)
from musicrec.metrics.intervals import Comparison, compare_paired, compare_starts
from musicrec.params import EvaluateParams, check_block
from musicrec.project.revisions import JudgedLists, Revision, UnavailableError, changes
from musicrec.project.staleness import why_stale
from musicrec.review.result import SLICE, Result
from musicrec.review.tested import PARAMS, TABLE, settings_judged
from musicrec.storage.outputs import is_stage_output
from musicrec.storage.parquet import READING

DATA = "data/ingested"
DATA_BLOCKS = ("data", "sample")  # parameters that DATA follows from
SHOWN = 5  # of them, in a sentence
PAIR = 2  # settings that a comparison of two takes; with more, one may have been chosen


class Champion(JudgedLists):
    """A revision, but in the per-user table the metrics of the champion it was judged beside.

    Refused where it was judged beside none, or another than the bundle of `folder`, or where the
    folder is an output of the pipeline, which the next run replaces.
    """

    def __init__(self, head: Revision, folder: str | os.PathLike[str] | None = None) -> None:
        """Take the champion's columns."""
        vars(self).update(vars(head))
        self._head = head
        table = per_user(head)
        about = described(table.schema).get(CHAMPION)
        wanted = os.fspath(folder or (about or {}).get("folder", "FOLDER"))
        if is_stage_output(Path(self.root, wanted)):
            raise MusicRecError(PUBLISH_FIRST.format(wanted))
        file = Path(self.root, wanted, MANIFEST)
        now = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
        gone = now is None and about is not None and about["folder"] == wanted
        if about is None or (now != about["digest"] and not gone):
            beside = f"{about['folder']}, not {wanted} as it is now" if about else "no champion"
            raise MusicRecError(
                f"{head.name} was judged beside {beside}; to judge {wanted}: "
                f"`dvc exp run -S evaluate.champion={wanted}`"
            )
        self.name, self.champion = CHAMPION, about
        theirs = f"{CHAMPION}_"
        names = {
            name.removeprefix(theirs): name
            for name in table.column_names
            if name.startswith(theirs) or name.partition("@")[0] not in METRICS
        }
        columns = {short: table.column(name) for short, name in names.items()}
        self.table = pa.table(columns).replace_schema_metadata(table.schema.metadata)

    def read(self, path: str) -> bytes | None:
        """Bytes of a file; None where it does not exist."""
        return self._head.read(path)


def outdated(revision: Revision) -> str:
    """Say why the figures of a revision are not those of its code, parameters and data, if so."""
    return "" if isinstance(revision, JudgedLists) else why_stale(revision, ["evaluate"])


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
    names = list(metrics or ())
    if metrics is None:
        shared = sorted(set(about[0]["k"]) & set(about[1]["k"]))
        if not shared:
            raise MusicRecError(
                f"{base.name} and {head.name} have no list length (evaluate.k) in common: "
                f"{about[0]['k']} against {about[1]['k']}"
            )
        both = set(old.column_names) & set(new.column_names)  # a metric may be newer than base
        names = [name for name in headline_metrics(shared) if name in both]
    values, others = (
        {name: np.stack([_values(revision, table, name) for table in rows]) for name in names}
        for revision, rows in zip((base, head), tables, strict=True)
    )
    for part, users in _slices(old, by):
        for side in (values, others):
            for name in names:
                if METRICS[name.partition("@")[0]].of != "all":
                    side[f"{name}{SLICE}{part}"] = np.where(users, side[name], np.nan)
    better = {name: METRICS[name.partition("@")[0]].better for name in values}
    if starts > 1:
        found = compare_starts(values, others, margin, better=better)
    else:
        one, other = ({name: rows[0] for name, rows in side.items()} for side in (values, others))
        written = head.read_yaml(PARAMS).get("evaluate", {})
        known = {key: written[key] for key in ("bootstrap_samples", "seed") if key in written}
        by_head = check_block({"evaluate": known}, EvaluateParams, f"{PARAMS} of {head.name}")
        bootstrap = by_head.bootstrap_samples, by_head.seed
        found = compare_paired(one, other, *bootstrap, margin, better=better)
    split, judged = about[0]["split"], 0
    better_here = any(row.verdict == BETTER for row in found.values())
    if split == "validation" and better_here and not isinstance(head, JudgedLists):
        judged = settings_judged(head)
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
        lists=any(isinstance(one, JudgedLists) and one.champion is None for one in (base, head)),
    )


def per_user(revision: Revision) -> pa.Table:
    """Read the per-user table of a revision."""
    if isinstance(revision, Champion):
        return revision.table
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


def _cure(found: Mapping[str, Comparison], margin: float, split: str, n_users: int) -> str:
    """How many users a verdict would take, and which margin these can tell."""
    sentences: list[str] = []
    for verdict in (CANNOT_TELL, TOO_FEW):
        needs = {
            name: needed
            for name, row in found.items()
            if row.verdict == verdict
            and row.n_users == n_users
            and (needed := row.users_needed(margin))
        }
        if not needs:
            continue
        name = max(needs, key=lambda name: needs[name])
        row, n_needed = found[name], float(f"{needs[name]:.2g}")
        aim = f"at a margin of {100 * margin:g} %" if margin else "of a change as large as this one"
        if verdict == TOO_FEW:
            aim = f"where {row.n_differ:,} differ"
        text = f"{name}: a verdict {aim} takes about {n_needed:,.0f} {split} users, not {n_users:,}"
        if not sentences:
            text += f"; hold more out (data.{split}_users; temporal: data.{split}_from; given: more"
            text += " plays)"
        if verdict == CANNOT_TELL and row.change_low is not None and row.change_high is not None:
            half = math.ceil(50 * (row.change_high - row.change_low)) / 100
            text += f", or ask for what these can tell: --margin {half:g}"
        sentences.append(f"{text}.")
    return " ".join(sentences)


def _refuse_different_truth(base: Revision, head: Revision, old: pa.Table, new: pa.Table) -> None:
    pair = f"{base.name} and {head.name} cannot be compared:"
    about = [described(table.schema) for table in (old, new)]
    for key in ("split", "seen"):
        if about[0][key] != about[1][key]:
            raise MusicRecError(
                f"{pair} they are judged with evaluate.{key} = {about[0][key]} and "
                f"{about[1][key]}; run one of them again with the other's"
            )
    data = [revision.output_hash(DATA) for revision in (base, head)]
    if None not in data and data[0] != data[1]:
        params = [revision.read_yaml(PARAMS) for revision in (base, head)]
        of_data = [{block: one.get(block) for block in DATA_BLOCKS} for one in params]
        differ = list(changes(*of_data).items())[:SHOWN]
        why = ", ".join(f"{name} is {parameter(a)} and {parameter(b)}" for name, (a, b) in differ)
        why = why or f"the same parameters, but other plays or another ingest ({DATA} in dvc.lock)"
        raise MusicRecError(
            f"{pair} their data differ: {why}; compare models "
            "of the same plays: commit those that count, and run the experiment again, or judge a "
            "published bundle on the new plays too, by evaluate.champion and --champion"
        )
    again = "run one of them again on the other's data"
    users = [table.column("user_id") for table in (old, new)]
    if not users[0].equals(users[1]):
        common = pc.sum(pc.is_in(users[0], users[1])).as_py()
        raise MusicRecError(
            f"{pair} their users differ, {len(users[0]):,} and {len(users[1]):,} with {common:,} "
            f"in common; {again}"
        )
    differ = pc.sum(pc.not_equal(old.column("truth"), new.column("truth"))).as_py()
    if differ:
        raise MusicRecError(
            f"{pair} {differ:,} of {old.num_rows:,} users have different held-out tracks; {again}"
        )


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
