"""Which stages of a revision have outputs older than what they depend on."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from musicrec.review.revisions import Revision

ABSENT = ("deleted", "not in cache")  # DVC's words
REASONS = 5  # shown a stage


def stale_stages(revision: Revision) -> dict[str, str]:
    """Find the stages that `dvc repro` would run, and why.

    Outputs that are merely absent (a clone without `dvc pull`) are not stale: dvc.lock says what
    they would be, and that is compared instead.

    Returns
    -------
    dict of str to str
        Reasons by stage, in the order of the DAG.
    """
    with revision.open() as repo:
        graph = repo.index.graph
        needs = {stage: list(graph.successors(stage)) for stage in sorted(graph, key=_name)}
        recorded = {out.fs_path: out.hash_info for stage in needs for out in stage.outs}
        stale: dict[str, str] = {}
        for stage in TopologicalSorter(needs).static_order():
            reasons = _changed(stage, recorded)
            upstream = sorted({_name(needed) for needed in needs[stage]} & set(stale))
            if upstream:
                reasons.append(f"needs {', '.join(upstream)}")
            if reasons:
                stale[_name(stage)] = "; ".join(reasons)
        return stale


def _name(stage: Any) -> str:
    return getattr(stage, "name", None) or stage.addressing


def _changed(stage: Any, recorded: Mapping[str, Any]) -> list[str]:
    """Say what of a stage differs from its entry in dvc.lock."""
    if not any(dependency.hash_info for dependency in stage.deps) and stage.deps:
        return ["has never run"]
    reasons = ["its command changed"] if stage.changed_stage() else []
    for dependency in stage.deps:
        for status in dependency.status().values():
            if isinstance(status, Mapping):  # of parameters: a status each
                reasons += [f"{key} is {word}" for key, word in status.items()]
            elif status not in ABSENT or not _made_by_a_stage(dependency, recorded):
                reasons.append(f"{dependency} is {status}")
            elif dependency.hash_info != recorded.get(dependency.fs_path, dependency.hash_info):
                reasons.append(f"{dependency} is modified")
    for out in stage.outs:
        reasons += [f"{out} is {word}" for word in out.status().values() if word not in ABSENT]
    more = len(reasons) - REASONS
    return [*reasons[:REASONS], f"and {more} more"] if more > 0 else reasons


def _made_by_a_stage(dependency: Any, recorded: Mapping[str, Any]) -> bool:
    """Whether a dependency is an output of a stage, lies in one, or is a folder of some."""
    path = Path(dependency.fs_path)
    inside = any(str(made) in recorded for made in (path, *path.parents))
    return inside or any(Path(made).is_relative_to(path) for made in recorded)
