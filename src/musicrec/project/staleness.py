"""Which stages of a revision have outputs older than what they depend on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from musicrec.formatting import parameter
from musicrec.project.revisions import Revision, changes

ABSENT = ("deleted", "not in cache")  # DVC's words
REASONS = 5  # shown a stage


def stale_stages(revision: Revision, of: Collection[str] = ()) -> dict[str, str]:
    """Find the stages that `dvc repro` would run, and why.

    Outputs that are merely absent (a clone without `dvc pull`) are not stale: dvc.lock says what
    they would be, and that is compared instead. What was imported (`dvc import-url`) is as the
    import left it, whatever its source holds now: no server is asked. Of a stage that is frozen,
    which `dvc repro` does not run either, the reason names the freeze. Plays that are on one
    machine alone, ignored by Git or outside the project, are not missed elsewhere.

    Parameters
    ----------
    of : collection of str
        Names of stages; they and those they need are looked at. Empty: all.

    Returns
    -------
    dict of str to str
        Reasons by stage, in the order of the DAG.
    """
    with revision.project() as repo:
        graph = repo.index.graph
        needs: dict[Any, list[Any]] = {}
        left = [stage for stage in sorted(graph, key=_name) if not of or _name(stage) in of]
        while left:
            stage = left.pop(0)
            needs[stage] = sorted(graph.successors(stage), key=_name)
            left += [needed for needed in needs[stage] if needed not in needs]
        recorded = {out.fs_path: out.hash_info for stage in needs for out in stage.outs}
        stale: dict[str, str] = {}
        for stage in TopologicalSorter(needs).static_order():
            reasons = [] if stage.is_import else _changed(stage, recorded, repo, revision)
            for out in stage.outs:
                words = out.status().values()
                reasons += [f"{out} is {word}" for word in words if word not in ABSENT]
            more = len(reasons) - REASONS
            reasons = [*reasons[:REASONS], *([f"and {more} more"] if more > 0 else [])]
            if upstream := sorted({_name(needed) for needed in needs[stage]} & set(stale)):
                reasons.append(f"needs {', '.join(upstream)}")
            if reasons:
                stale[_name(stage)] = "; ".join(reasons)
        return stale


def why_stale(revision: Revision, of: Collection[str]) -> str:
    """Say why what some stages wrote is not of a revision's code, parameters and data, if so.

    It is a sentence without a full stop, which says what to do.
    """
    stale = stale_stages(revision, of)
    if not stale:
        return ""
    first, why = next(iter(stale.items()))
    more = f", and {', '.join(list(stale)[1:])} with it" if len(stale) > 1 else ""
    todo = "there, and commit what it writes"
    if revision.commit is None:
        todo = (
            "(or `dvc checkout`, or `dvc pull`, if dvc.lock is right and the data are of another "
            "revision)"
        )
    return (
        f"the figures of {revision.name} are not those of its code, parameters and data: "
        f"{first} ({why}){more}; run `dvc repro` {todo}"
    )


def _name(stage: Any) -> str:
    return getattr(stage, "name", None) or stage.path_in_repo


def _changed(stage: Any, recorded: Mapping[str, Any], repo: Any, revision: Revision) -> list[str]:
    """Say what of a stage and what it reads differs from its entry in dvc.lock."""
    if not any(dependency.hash_info for dependency in stage.deps) and stage.deps:
        return ["has never run"]
    reasons = ["its command changed"] if stage.changed_stage() else []
    for dependency in stage.deps:
        for status in dependency.status().values():
            if isinstance(status, Mapping):  # of parameters: a status each
                reasons += _changed_parameters(dependency, status)
            elif status not in ABSENT:
                reasons.append(f"{dependency} is {status}")
            elif _made_by_a_stage(dependency, recorded):
                if dependency.hash_info != recorded.get(dependency.fs_path, dependency.hash_info):
                    reasons.append(f"{dependency} is modified")
            elif not (dependency.hash_info and _only_here(dependency.fs_path, repo, revision)):
                reasons.append(f"{dependency} is {status}")
    if reasons and stage.frozen:
        reasons.insert(0, f"is frozen, `dvc unfreeze {_name(stage)}` lets it run")
    return reasons


def _changed_parameters(dependency: Any, status: Mapping[str, str]) -> list[str]:
    """Name the values within a changed block: `als.rank is 50 and was 64`."""
    then, now = dependency.hash_info.value, dependency.read_params()
    reasons = []
    for key, word in status.items():
        if word == "modified":
            found = changes({key: then[key]}, {key: now[key]}).items()
            reasons += [
                f"{k} is {parameter(new)} and was {parameter(old)}" for k, (old, new) in found
            ]
        else:
            reasons.append(f"{key} is {word}")
    return reasons


def _made_by_a_stage(dependency: Any, recorded: Mapping[str, Any]) -> bool:
    """Whether a dependency is an output of a stage, lies in one, or is a folder of some."""
    path = Path(dependency.fs_path)
    inside = any(str(made) in recorded for made in (path, *path.parents))
    return inside or any(Path(made).is_relative_to(path) for made in recorded)


def _only_here(path: str, repo: Any, revision: Revision) -> bool:
    """Whether a file is on one machine alone: outside the project, or ignored by Git."""
    if not Path(path).is_relative_to(repo.root_dir):
        return True
    inside = Path(path).relative_to(repo.root_dir)
    return bool(repo.scm.is_ignored(str(Path(revision.root) / inside)))
