"""`musicrec compare --starts`: both settings trained anew from several seeds, in one process."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from musicrec.errors import MusicRecError
from musicrec.params import ALSParams, B, EvaluateParams, FeedbackParams, check_block
from musicrec.project.revisions import WORKSPACE, JudgedLists, Revision
from musicrec.project.staleness import why_stale
from musicrec.review.tested import INDEXED, PARAMS
from musicrec.runtime import progress
from musicrec.tune.trial import Trials


def refit(base: Revision, head: Revision, n_starts: int) -> list[list[pa.Table]]:
    """Train and judge the settings of two revisions by the code and plays of the workspace.

    Returns
    -------
    list of list of pyarrow.Table
        Per-user tables without the baselines: of base and of head, from `als.seed` and the
        `n_starts` - 1 seeds after it.
    """
    workspace = Revision(WORKSPACE)
    if stale := why_stale(workspace, ["index"]):
        raise MusicRecError(f"--starts trains on the plays of the workspace: {stale}")
    for revision in (base, head):
        if isinstance(revision, JudgedLists):
            raise MusicRecError(
                f"--starts trains settings of revisions, and {revision.name} is not a revision"
            )
        if revision.output_hash(INDEXED) != workspace.output_hash(INDEXED):
            raise MusicRecError(
                f"--starts trains on {INDEXED} of the workspace, and {revision.name} has other "
                f"plays; `git checkout {revision.name}` and `dvc checkout` first"
            )
    evaluates = [_block(revision, EvaluateParams) for revision in (base, head)]
    k = sorted(set(evaluates[0].k) & set(evaluates[1].k)) or evaluates[1].k
    tables: list[list[pa.Table]] = []
    for revision, evaluate in zip((base, head), evaluates, strict=True):
        trials = Trials(Path(workspace.root) / INDEXED, evaluate.replace(k=k))
        als, feedback = _block(revision, ALSParams), _block(revision, FeedbackParams)
        tables.append([])
        for start in range(n_starts):
            progress(f"{revision.name}: start {start + 1} of {n_starts}")
            model = trials.fit(als.replace(seed=als.seed + start), feedback)
            tables[-1].append(trials.per_user(model))
    return tables


def _block(revision: Revision, block: type[B]) -> B:
    return check_block(revision.read_yaml(PARAMS), block, f"{PARAMS} of {revision.name}")
