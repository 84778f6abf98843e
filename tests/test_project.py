"""Where there are no revisions to name, one sentence says why."""

import os

import pytest

from musicrec.errors import MusicRecError
from musicrec.project import WORKSPACE, Revision, changes
from tests.support.project import Project


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An unpacked archive of a project."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    folder = tmp_path / "project"
    (folder / ".dvc").mkdir(parents=True)
    (folder / "dvc.yaml").touch()
    return folder


def test_where_there_are_no_revisions(project, monkeypatch):
    with pytest.raises(MusicRecError, match="is not in a DVC project"):
        Revision(WORKSPACE, project.parent)
    for name in ("main", WORKSPACE):
        with pytest.raises(MusicRecError, match="not of an unpacked archive"):
            Revision(name, project)
    Project(project).init()
    with pytest.raises(MusicRecError, match="with a commit"):
        Revision("nix", project)
    Project(project).commit("Start")
    for name in ("nix", "", "HEAD..HEAD", "^HEAD", "HEAD:dvc.yaml", "-x"):
        with pytest.raises(MusicRecError, match="no Git revision, branch or experiment"):
            Revision(name, project)
    if os.geteuid() == 0:  # only root can give a folder away
        monkeypatch.setenv("HOME", str(project))
        for path in (project, project / ".git"):
            os.chown(path, 65534, 65534)
        with pytest.raises(MusicRecError, match=r"safe\.directory"):
            Revision("main", project)


def test_changes_of_nested_values():
    old = {"a": {"b": 1, "c": [1, 2]}, "same": 3}
    new = {"a": {"b": 2, "c": [1, 2]}, "same": 3, "new": None, "d": {"e": "x"}}
    assert changes(old, new) == {"a.b": (1, 2), "d.e": (None, "x")}
