"""Files of the project as they are in the workspace or in any revision.

A revision is what Git or `dvc exp` calls one: a branch, a tag, a commit, an experiment. Its
tracked files come from Git, its DVC outputs from the cache or a remote.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from musicrec.errors import MusicRecError
from musicrec.project.paths import JUDGED, LOCK

WORKSPACE = "workspace"


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
