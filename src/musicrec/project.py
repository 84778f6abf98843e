"""Files of the project as they are in the workspace or in any revision, and whether they are stale.

A revision is what Git or `dvc exp` calls one: a branch, a tag, a commit, an experiment. Its
tracked files come from Git, its DVC outputs from the cache or a remote.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from graphlib import TopologicalSorter
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from musicrec.errors import MusicRecError
from musicrec.formatting import parameter

WORKSPACE = "workspace"
# Files of every revision, named from its root.
PARAMS, LOCK = "params.yaml", "dvc.lock"
DATA, INDEXED, FACTORS = "data/ingested", "data/indexed", "data/factors"
TABLE = "data/per_user.parquet"
EVALUATION, BASELINES = "metrics/evaluate.json", "metrics/baselines.json"
JUDGED = "data/judged"  # folders of `musicrec judge`, with files named as in the project
ORIGINAL, TRIALS = "data/original", "data/tune"  # records of `musicrec original` and `tune`
ABSENT = ("deleted", "not in cache")  # DVC's words
REASONS = 5  # shown a stage


class UnavailableError(MusicRecError):
    """Outputs of a revision that are neither in DVC's cache nor in a remote."""

    def __init__(self, revision: Revision, paths: Sequence[str], reason: object) -> None:
        """Say which, and how to bring them here."""
        self.reason = reason
        name, are = revision.name, "is" if len(paths) == 1 else "are"
        todo = f"`dvc push` on {name} where it ran and `dvc fetch` here, or reproduce {name}"
        if revision.commit is None:
            todo = "`dvc push` where its commit ran and `dvc pull` here, or `dvc repro`"
        super().__init__(
            f"{', '.join(paths)} of {name} {are} neither in the cache nor in a remote "
            f"({reason}); {todo}"
        )


class Revision:
    """One revision of the project that holds the current folder.

    Parameters
    ----------
    name : str
        `workspace`, or what names a revision.
    folder : str or path, optional
        Any folder of the project; the current one by default.

    Raises
    ------
    MusicRecError
        The folder is in no DVC project, or the name is not that of a revision.
    """

    champion: Mapping[str, Any] | None = None  # what is known of it, where this stands for one

    def __init__(self, name: str, folder: str | os.PathLike[str] = ".") -> None:
        """Find the project and the commit."""
        from dvc.api import DVCFileSystem
        from dvc.exceptions import NotDvcRepoError
        from dvc.repo import Repo
        from dvc.scm import RevError, resolve_rev

        self.name = name
        self.commit: str | None = None
        try:
            self.root = Repo.find_root(os.fspath(folder))
            self.git("rev-parse", "--verify", "HEAD")
            if name != WORKSPACE:
                with Repo(self.root) as repo:
                    self.commit = resolve_rev(repo.scm, name)
                # An unset variable is not HEAD, and Git has names for files, too.
                if not name or self.git("cat-file", "-t", self.commit) != "commit":
                    raise RevError(repr(name))
            self._files = DVCFileSystem(self.open())
        except NotDvcRepoError:
            where = Path(folder).resolve()
            raise MusicRecError(
                f"{where} is not in a DVC project; go to your clone of it"
                if self.commit is None
                else f"{name} has no DVC project in {self.root}; name a revision that has it"
            ) from None
        except RevError:
            raise MusicRecError(
                f"{name}: no Git revision, branch or experiment has this name; "
                "`git branch -a` and `dvc exp list` show what there is"
            ) from None

    def git(self, *words: str) -> str:
        """What a command of Git prints, started in the project's root."""
        done = subprocess.run(
            ["git", *words], cwd=self.root, capture_output=True, encoding="utf-8", errors="replace"
        )
        if done.returncode:
            raise MusicRecError(
                f"git {words[0]} in {self.root}: {' '.join(done.stderr.split())}; revisions are "
                "those of a clone of yours with a commit, not of an unpacked archive"
            )
        return done.stdout.strip()

    def open(self) -> Any:
        """Open the project as it is in the revision, as a `dvc.repo.Repo`; close it after use.

        `Repo(rev=...)` takes a project for one at the root of its Git repository.
        """
        from dvc.fs import GitFileSystem
        from dvc.repo import Repo

        if self.commit is None:
            return Repo(self.root)
        with Repo(self.root) as repo:
            git = repo.scm
        folder = Path(self.root).resolve().relative_to(Path(git.root_dir).resolve())
        files = GitFileSystem(scm=git, rev=self.commit)
        return Repo(str(PurePosixPath("/", *folder.parts)), fs=files, scm=git)

    def changed_files(self, base: Revision, below: Sequence[str]) -> list[str]:
        """Files in some folders that differ by Git, both named from the project's root."""
        ends = [base.commit or "HEAD", *([self.commit] if self.commit else [])]
        words = ["diff", "--name-only", "--no-renames", "-z", "--relative", *ends, "--", *below]
        return sorted(filter(None, self.git(*words).split("\0")))

    def read(self, path: str) -> bytes | None:
        """Bytes of a file, named from the project's root; None where it does not exist.

        Raises
        ------
        MusicRecError
            A file of DVC, such as dvc.lock, cannot be read.
        UnavailableError
            The file is an output of DVC that is neither in the cache nor in a remote.
        """
        from_root, known = f"/{path}", False
        try:
            self._files.info(from_root)  # `exists` takes what is out of reach for absent
            known = True
            with self._files.open(from_root, "rb") as stream:
                return stream.read()
        except MemoryError:
            raise
        except Exception as error:  # a remote raises what its library raises: botocore, azure, …
            if isinstance(error, FileNotFoundError) and not known:
                return None
            with self.project():  # is it DVC's own files that cannot be read?
                pass
            raise UnavailableError(self, [path], error) from None

    @contextmanager
    def project(self) -> Iterator[Any]:
        """Open the project (`dvc.repo.Repo`) with its DAG read, or say why it cannot be."""
        from dvc.exceptions import DvcException

        with self.open() as repo:
            try:
                assert repo.index.graph is not None
            except DvcException as error:
                for name in ("dvc.yaml", "dvc.lock", "params.yaml"):
                    path = repo.fs.join(repo.root_dir, name)
                    if repo.fs.exists(path):
                        _refuse_conflict(f"{name} of {self.name}", repo.fs.cat_file(path))
                reason = " ".join(str(error.__cause__ or error).split())
                raise MusicRecError(
                    f"DVC cannot read the project of {self.name}: {reason}"
                ) from None
            yield repo

    def read_json(self, path: str) -> Any:
        """Content of a JSON file; an empty dict where the revision does not have it."""
        return self._parsed(path, json.loads, json.JSONDecodeError)

    def read_yaml(self, path: str) -> Any:
        """Content of a YAML file; an empty dict where the revision does not have it."""
        return self._parsed(path, yaml.safe_load, yaml.YAMLError)

    def _parsed(self, path: str, parse: Callable[[bytes], Any], error: type[Exception]) -> Any:
        content = self.read(path)
        if content is None:
            return {}
        try:
            return parse(content) or {}
        except (error, UnicodeDecodeError) as found:
            _refuse_conflict(f"{path} of {self.name}", content)
            reason = " ".join(str(found).split())
            raise MusicRecError(f"{path} of {self.name} cannot be read: {reason}") from None

    def output_hash(self, path: str) -> str | None:
        """Hash of a stage's output as dvc.lock records it; None if it records none."""
        for stage in self.read_yaml(LOCK).get("stages", {}).values():
            for output in stage.get("outs", []):
                if output["path"] == path:
                    return output.get("md5")
        return None


class JudgedLists(Revision):
    """Lists that `musicrec judge --name` judged, with the files that they were judged by."""

    def __init__(self, name: str, folder: str | os.PathLike[str] = ".") -> None:
        """Find the project."""
        super().__init__(WORKSPACE, folder)
        self.name = name

    def read(self, path: str) -> bytes | None:
        """Bytes of a file of the folder; None where it does not exist."""
        file = Path(self.root, JUDGED, self.name, path)
        return file.read_bytes() if file.is_file() else None


def open_revisions(names: Sequence[str]) -> list[Revision]:
    """Open revisions, and what `musicrec judge` judged, by their names."""
    folders = (Path.cwd(), *Path.cwd().parents)
    judged = {n for n in names if n and any((folder / JUDGED / n).is_dir() for folder in folders)}
    return [JudgedLists(name) if name in judged else Revision(name) for name in names]


def _refuse_conflict(file: str, content: bytes) -> None:
    """Raise a MusicRecError where Git's merge has left its marks in a file."""
    if re.search(rb"^(<{7}|>{7}) ", content, re.MULTILINE):
        raise MusicRecError(
            f"{file} holds the marks of a merge that is not finished (<<<<<<<); finish the merge, "
            "then run `dvc repro`"
        )


def flatten(content: Any, prefix: str = "") -> dict[str, Any]:
    """Name every leaf of nested dicts: `{"a": {"b": 1}}` gives `{"a.b": 1}`."""
    if not isinstance(content, Mapping):
        return {prefix: content}
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return found


def changes(base: Any, head: Any) -> dict[str, tuple[Any, Any]]:
    """Leaves that differ, by name: (base, head), None where one side does not have it."""
    old, new = flatten(base), flatten(head)
    names = [*old, *(name for name in new if name not in old)]
    return {
        name: (old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)
    }


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
            if len(reasons) > REASONS:
                reasons[REASONS:] = [f"and {len(reasons) - REASONS} more"]
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
            for name, (old, new) in changes({key: then[key]}, {key: now[key]}).items():
                reasons.append(f"{name} is {parameter(new)} and was {parameter(old)}")
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
