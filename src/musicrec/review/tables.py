"""Per-user tables of revisions: as they were written, of a champion, or trained anew."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from musicrec import project
from musicrec.baselines.lists import CHAMPION
from musicrec.errors import MusicRecError
from musicrec.evaluate.judge import described
from musicrec.formatting import parameter
from musicrec.interactions.earlier import PUBLISH_FIRST
from musicrec.metrics.definitions import METRICS
from musicrec.params import ALSParams, B, EvaluateParams, FeedbackParams, check_block
from musicrec.project import JudgedLists, Revision, UnavailableError, changes, why_stale
from musicrec.runtime import progress
from musicrec.storage.outputs import MANIFEST, is_stage_output
from musicrec.storage.parquet import READING

DATA_BLOCKS = ("data", "sample")  # parameters that `data/ingested` follows from
SHOWN = 5  # of them, in a sentence


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
        columns = {
            name.removeprefix(theirs): table.column(name)
            for name in table.column_names
            if name.startswith(theirs) or name.partition("@")[0] not in METRICS
        }
        self.table = pa.table(columns).replace_schema_metadata(table.schema.metadata)

    def read(self, path: str) -> bytes | None:
        """Bytes of a file; None where it does not exist."""
        return self._head.read(path)


def has_champion(revision: Revision) -> bool:
    """Whether the parameters of a revision name a champion."""
    return bool((revision.read_yaml(project.PARAMS).get("evaluate") or {}).get("champion"))


def outdated(revision: Revision) -> str:
    """Say why the figures of a revision are not those of its code, parameters and data, if so."""
    return "" if isinstance(revision, JudgedLists) else why_stale(revision, ["evaluate"])


def per_user(revision: Revision) -> pa.Table:
    """Read the per-user table of a revision."""
    if isinstance(revision, Champion):
        return revision.table
    content = revision.read(project.TABLE)
    if content is None:
        raise MusicRecError(
            f"{revision.name} has no {project.TABLE}; run `dvc repro evaluate` there, or `dvc pull`"
        )
    # By this thread alone, from memory: Arrow's threads (`pq.read_table` has one even without
    # `use_threads`), still holding a Python object when the interpreter ends, abort the process.
    buffer = pa.BufferReader(pa.py_buffer(content))
    try:
        with pq.ParquetFile(buffer, pre_buffer=False, **READING) as file:
            return file.read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise MusicRecError(
            f"{project.TABLE} of {revision.name} is damaged ({str(error).splitlines()[0]}); run "
            "`dvc repro evaluate` there, or `dvc checkout --force`"
        ) from None


def tables_of(base: Revision, head: Revision, starts: int) -> list[list[pa.Table]]:
    """Read or make the per-user tables of base and of head, one a start, for `compare`.

    Nothing where they are out of reach, but one and the same by their hash in dvc.lock.
    """
    if starts > 1:
        return _refit(base, head, starts)
    try:
        return [[per_user(base)], [per_user(head)]]
    except UnavailableError:
        hashes = {revision.output_hash(project.TABLE) for revision in (base, head)}
        if len(hashes) == 2 or None in hashes:
            raise
        return []


def _refit(base: Revision, head: Revision, n_starts: int) -> list[list[pa.Table]]:
    """Train and judge the settings of two revisions by the code and plays of the workspace.

    Tables have no baselines; seeds are `als.seed` and the `n_starts` - 1 after it.
    """
    from musicrec.tune.trial import Trials  # imports the solver

    workspace = Revision(project.WORKSPACE)
    if stale := why_stale(workspace, ["index"]):
        raise MusicRecError(f"--starts trains on the plays of the workspace: {stale}")
    for revision in (base, head):
        if isinstance(revision, JudgedLists):
            raise MusicRecError(
                f"--starts trains settings of revisions, and {revision.name} is not a revision"
            )
        if revision.output_hash(project.INDEXED) != workspace.output_hash(project.INDEXED):
            raise MusicRecError(
                f"--starts trains on {project.INDEXED} of the workspace, and {revision.name} has "
                "other plays; `git checkout` (or `dvc exp apply`) it, and `dvc checkout`, first"
            )
    evaluates = [_block(revision, EvaluateParams) for revision in (base, head)]
    k = sorted(set(evaluates[0].k) & set(evaluates[1].k)) or evaluates[1].k
    tables: list[list[pa.Table]] = []
    for revision, evaluate in zip((base, head), evaluates, strict=True):
        trials = Trials(Path(workspace.root) / project.INDEXED, evaluate.replace(k=k))
        als, feedback = _block(revision, ALSParams), _block(revision, FeedbackParams)
        tables.append([])
        for start in range(n_starts):
            progress(f"{revision.name}: start {start + 1} of {n_starts}")
            _, table = trials.judge(trials.fit(als.replace(seed=als.seed + start), feedback))
            tables[-1].append(table)
    return tables


def _block(revision: Revision, block: type[B]) -> B:
    path = project.PARAMS
    return check_block(revision.read_yaml(path), block, f"{path} of {revision.name}")


def require_same_truth(base: Revision, head: Revision, old: pa.Table, new: pa.Table) -> None:
    """Refuse tables of other splits, data, users or held-out tracks."""
    pair = f"{base.name} and {head.name} cannot be compared:"
    about = [described(table.schema) for table in (old, new)]
    for key in ("split", "seen"):
        if about[0][key] != about[1][key]:
            raise MusicRecError(
                f"{pair} they are judged with evaluate.{key} = {about[0][key]} and "
                f"{about[1][key]}; run one of them again with the other's"
            )
    data = [revision.output_hash(project.DATA) for revision in (base, head)]
    if None not in data and data[0] != data[1]:
        params = [revision.read_yaml(project.PARAMS) for revision in (base, head)]
        of_data = [{block: one.get(block) for block in DATA_BLOCKS} for one in params]
        differ = list(changes(*of_data).items())[:SHOWN]
        why = ", ".join(f"{name} is {parameter(a)} and {parameter(b)}" for name, (a, b) in differ)
        why = why or (
            f"the same parameters, but other plays or another ingest ({project.DATA} in dvc.lock)"
        )
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
