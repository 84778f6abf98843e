"""Which stages of a revision have outputs older than what they depend on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from musicrec.formatting import parameter
from musicrec.project.revisions import Revision, changes

ABSENT = ("deleted", "not in cache")  # DVC's words
REASONS = 5  # shown a stage
NEEDS = "needs "  # what a reason starts with that is another stage's


def stale_stages(revision: Revision, of: Collection[str] = ()) -> dict[str, str]:
    """Find the stages that `dvc repro` would run, and why.

    Outputs that are merely absent (a clone without `dvc pull`) are not stale: dvc.lock says what
    they would be, and that is compared instead. What was imported (`dvc import-url`) is as the
    import left it, whatever its source holds now: no server is asked. Of a stage that is frozen,
    which `dvc repro` does not run either, the reason names the freeze.

    Parameters
    ----------
    revision : Revision
    of : collection of str
        Names of stages; they and those they need are looked at. Empty: all.

    Returns
    -------
    dict of str to str
        Reasons by stage, in the order of the DAG.
    """
    with revision.project() as repo:
        graph = repo.index.graph
        needs = {stage: list(graph.successors(stage)) for stage in sorted(graph, key=_name)}
        if of:
            needs = _reached(needs, of)
        recorded = {out.fs_path: out.hash_info for stage in needs for out in stage.outs}
        stale: dict[str, str] = {}
        for stage in TopologicalSorter(needs).static_order():
            reasons = _changed(stage, recorded, lambda path: _only_here(path, repo, revision))
            upstream = sorted({_name(needed) for needed in needs[stage]} & set(stale))
            if upstream:
                reasons.append(f"{NEEDS}{', '.join(upstream)}")
            if reasons:
                stale[_name(stage)] = "; ".join(reasons)
        return stale


def why_stale(revision: Revision, of: Collection[str]) -> str:
    """Say why what some stages wrote is not of a revision's code, parameters and data.

    Returns
    -------
    str
        A sentence without a full stop, which says what to do; empty where all is as it should be.
    """
    stale = stale_stages(revision, of)
    if not stale:
        return ""
    first, why = next(iter(stale.items()))
    more = f", and {', '.join(list(stale)[1:])} with it" if len(stale) > 1 else ""
    todo = "there, and commit what it writes"
    if revision.commit is None:
        fetch = "checkout" if _in_cache(revision, of) else "pull"
        todo = f"(or `dvc {fetch}`, if dvc.lock is right and the data are of another revision)"
    return (
        f"the figures of {revision.name} are not those of its code, parameters and data: "
        f"{first} ({why}){more}; run `dvc repro` {todo}"
    )


def _in_cache(revision: Revision, of: Collection[str]) -> bool:
    """Whether DVC's cache here holds what some stages wrote, and what they read of others."""
    with revision.project() as repo:
        stages = [stage for stage in repo.index.stages if _name(stage) in of]
        outs = [out for stage in stages for out in stage.outs]
        read = {dependency.fs_path for stage in stages for dependency in stage.deps}
        outs += [out for stage in repo.index.stages for out in stage.outs if out.fs_path in read]
        return not any(out.use_cache and out.hash_info and out.changed_cache() for out in outs)


def _reached(needs: Mapping[Any, list[Any]], of: Collection[str]) -> dict[Any, list[Any]]:
    """Some stages and those they need, in the order of `needs`."""
    found: set[Any] = set()
    left = [stage for stage in needs if _name(stage) in of]
    while left:
        stage = left.pop()
        found.add(stage)
        left += [needed for needed in needs[stage] if needed not in found]
    return {stage: needed for stage, needed in needs.items() if stage in found}


def _name(stage: Any) -> str:
    return getattr(stage, "name", None) or stage.path_in_repo


def _only_here(path: str, repo: Any, revision: Revision) -> bool:
    """Whether a file is on one machine alone: outside the project, or ignored by Git."""
    if not Path(path).is_relative_to(repo.root_dir):
        return True
    inside = Path(path).relative_to(repo.root_dir)
    return bool(repo.scm.is_ignored(str(Path(revision.root) / inside)))


def _changed(
    stage: Any, recorded: Mapping[str, Any], only_here: Callable[[str], bool]
) -> list[str]:
    """Say what of a stage differs from its entry in dvc.lock.

    Plays that are `only_here`, on the machine of whoever ran the stage, are not missed elsewhere.
    """
    if stage.is_import:
        return _changed_outputs(stage)
    if not any(dependency.hash_info for dependency in stage.deps) and stage.deps:
        return ["has never run"]
    reasons = ["its command changed"] if stage.changed_stage() else []
    for dependency in stage.deps:
        for status in dependency.status().values():
            if isinstance(status, Mapping):  # of parameters: a status each
                reasons += _changed_parameters(dependency, status)
            elif status in ABSENT and _made_by_a_stage(dependency, recorded):
                if dependency.hash_info != recorded.get(dependency.fs_path, dependency.hash_info):
                    reasons.append(f"{dependency} is modified")
            elif status not in ABSENT or not (
                dependency.hash_info and only_here(dependency.fs_path)
            ):
                reasons.append(f"{dependency} is {status}")
    if reasons and stage.frozen:
        reasons.insert(0, f"is frozen, `dvc unfreeze {_name(stage)}` lets it run")
    reasons += _changed_outputs(stage)
    more = len(reasons) - REASONS
    return [*reasons[:REASONS], f"and {more} more"] if more > 0 else reasons


def _changed_outputs(stage: Any) -> list[str]:
    words = ((out, word) for out in stage.outs for word in out.status().values())
    return [f"{out} is {word}" for out, word in words if word not in ABSENT]


def _changed_parameters(dependency: Any, status: Mapping[str, str]) -> list[str]:
    """Name the values within a changed block: `als.rank is 50 and was 64`."""
    then, now = dependency.hash_info.value, dependency.read_params()
    reasons = []
    for key, word in status.items():
        if word != "modified":
            reasons.append(f"{key} is {word}")
            continue
        found = changes({key: then[key]}, {key: now[key]})
        reasons += [
            f"{name} is {parameter(new)} and was {parameter(old)}"
            for name, (old, new) in found.items()
        ]
    return reasons


def _made_by_a_stage(dependency: Any, recorded: Mapping[str, Any]) -> bool:
    """Whether a dependency is an output of a stage, lies in one, or is a folder of some."""
    path = Path(dependency.fs_path)
    inside = any(str(made) in recorded for made in (path, *path.parents))
    return inside or any(Path(made).is_relative_to(path) for made in recorded)
