"""Where there are no revisions to name, one sentence says why."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from musicrec.errors import MusicRecError
from musicrec.project.revisions import WORKSPACE, Revision


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An unpacked archive of a project."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    folder = tmp_path / "project"
    (folder / ".dvc").mkdir(parents=True)
    (folder / "dvc.yaml").touch()
    return folder


@pytest.mark.parametrize("name", ["main", WORKSPACE])
def test_an_unpacked_archive(project: Path, name: str) -> None:
    with pytest.raises(MusicRecError, match="not of an unpacked archive"):
        Revision(name, project)


def test_an_unknown_name(project: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    with pytest.raises(MusicRecError, match="with a commit"):
        Revision("nix", project)
    words = ["git", "-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-q", "-m", "Start"]
    subprocess.run(["git", "add", "--all"], cwd=project, check=True)
    subprocess.run(words, cwd=project, check=True)
    with pytest.raises(MusicRecError, match="no Git revision, branch or experiment"):
        Revision("nix", project)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_clone_of_another_owner(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(project))
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    for path in (project, project / ".git"):
        os.chown(path, 65534, 65534)
    with pytest.raises(MusicRecError, match=r"safe\.directory"):
        Revision("main", project)
