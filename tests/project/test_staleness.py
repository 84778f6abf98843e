"""Stale stages, imports and freezes, in a DVC project of two `cp`s."""

from __future__ import annotations

import functools
import http.server
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from musicrec.errors import MusicRecError
from musicrec.project.revisions import Revision
from musicrec.project.staleness import stale_stages

DAG = """
stages:
  copy:
    cmd: cp plays.csv copied.csv
    deps: [plays.csv, code.py]
    outs: [copied.csv]
  evaluate:
    cmd: cp copied.csv judged.csv
    deps: [copied.csv]
    outs: [judged.csv]
"""


class Project:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *words: str) -> str:
        command = [sys.executable, "-m", *words] if words[0] == "dvc" else list(words)
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
        return done.stdout

    def commit(self) -> None:
        self.run("git", "add", "-A")
        words = ["-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-q", "-m", "x"]
        self.run("git", *words)

    def stale(self, name: str = "workspace") -> dict[str, str]:
        return stale_stages(Revision(name, self.folder))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its plays are imported from a server that the fixture stops."""
    upstream = tmp_path_factory.mktemp("upstream")
    (upstream / "plays.csv").write_text("a,b\n")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(upstream))
    project = Project(tmp_path_factory.mktemp("made"))
    project.run("git", "init", "-q", "-b", "main")
    project.run("dvc", "init", "-q")
    (project.folder / "dvc.yaml").write_text(DAG)
    (project.folder / "code.py").write_text("1\n")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/plays.csv"
        project.run("dvc", "import-url", "-q", url)
        project.run("dvc", "repro", "-q")
        project.commit()
        server.shutdown()
    return project.folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Project:
    return Project(Path(shutil.copytree(made, tmp_path / "project")))


def test_an_import_is_as_it_was_imported_whatever_its_server_does(project: Project) -> None:
    assert project.stale() == {} and project.stale("main") == {}
    (project.folder / "plays.csv").unlink()
    (project.folder / "plays.csv").write_text("a,b\nc,d\n")
    assert project.stale() == {
        "plays.csv.dvc": "plays.csv is modified",
        "copy": "plays.csv is modified; needs plays.csv.dvc",
        "evaluate": "needs copy",
    }


def test_a_frozen_stage_of_ours_names_the_freeze(project: Project) -> None:
    project.run("dvc", "freeze", "copy")
    assert project.stale() == {}
    (project.folder / "code.py").write_text("2\n")
    frozen = "is frozen, `dvc unfreeze copy` lets it run; code.py is modified"
    assert project.stale() == {"copy": frozen, "evaluate": "needs copy"}


@pytest.mark.parametrize("path", ["dvc.lock", "dvc.yaml"])
def test_the_marks_of_a_merge_are_one_sentence(project: Project, path: str) -> None:
    file = project.folder / path
    file.write_text(f"<<<<<<< HEAD\n{file.read_text()}=======\n>>>>>>> other\n")
    sentence = f"^{path} of workspace holds the marks of a merge that is not finished"
    with pytest.raises(MusicRecError, match=sentence):
        project.stale()
    with pytest.raises(MusicRecError, match=sentence):
        Revision("workspace", project.folder).read("copied.csv")
    project.run("git", "checkout", "-q", "-b", "merged")
    project.commit()
    with pytest.raises(MusicRecError, match=f"^{path} of merged holds the marks"):
        project.stale("merged")
    file.write_text("stages: 5\n")
    with pytest.raises(MusicRecError, match=r"^DVC cannot read the project of workspace: "):
        project.stale()


def test_changed_files_are_those_below_some_folders(project: Project) -> None:
    main = Revision("main", project.folder)
    project.run("git", "checkout", "-q", "-b", "change")
    (project.folder / "code.py").write_text("2\n")
    workspace = Revision("workspace", project.folder)
    assert workspace.changed_files(main, ["code.py", "none"]) == ["code.py"]
    project.commit()
    assert Revision("change", project.folder).changed_files(main, ["code.py"]) == ["code.py"]
    assert main.changed_files(main, ["code.py"]) == []
