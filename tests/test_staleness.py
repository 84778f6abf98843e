"""Stale stages, imports and freezes, in a DVC project of two `cp`s."""

import functools
import http.server
import shutil
import threading
from pathlib import Path

import pytest

from musicrec.errors import MusicRecError
from musicrec.project import Revision, stale_stages
from tests.support.project import Project

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


def stale(project, name="workspace"):
    return stale_stages(project.revision(name))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Its plays are imported from a server that the fixture stops."""
    upstream = tmp_path_factory.mktemp("upstream")
    (upstream / "plays.csv").write_text("a,b\n")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(upstream))
    project = Project(tmp_path_factory.mktemp("made"))
    project.init()
    project.dvc("init", "-q")
    (project.folder / "dvc.yaml").write_text(DAG)
    (project.folder / "code.py").write_text("1\n")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/plays.csv"
        project.dvc("import-url", "-q", url)
        project.dvc("repro", "-q")
        project.commit("x")
        server.shutdown()
    return project.folder


@pytest.fixture
def project(made, tmp_path):
    return Project(Path(shutil.copytree(made, tmp_path / "project")))


def test_an_import_is_as_it_was_imported_whatever_its_server_does(project):
    assert stale(project) == {} and stale(project, "main") == {}
    (project.folder / "plays.csv").unlink()
    (project.folder / "plays.csv").write_text("a,b\nc,d\n")
    assert stale(project) == {
        "plays.csv.dvc": "plays.csv is modified",
        "copy": "plays.csv is modified; needs plays.csv.dvc",
        "evaluate": "needs copy",
    }


def test_a_frozen_stage_of_ours_names_the_freeze(project):
    project.dvc("freeze", "copy")
    assert stale(project) == {}
    (project.folder / "code.py").write_text("2\n")
    frozen = "is frozen, `dvc unfreeze copy` lets it run; code.py is modified"
    assert stale(project) == {"copy": frozen, "evaluate": "needs copy"}


@pytest.mark.parametrize("path", ["dvc.lock", "dvc.yaml"])
def test_the_marks_of_a_merge_are_one_sentence(project, path):
    file = project.folder / path
    file.write_text(f"<<<<<<< HEAD\n{file.read_text()}=======\n>>>>>>> other\n")
    sentence = f"^{path} of workspace holds the marks of a merge that is not finished"
    with pytest.raises(MusicRecError, match=sentence):
        stale(project)
    with pytest.raises(MusicRecError, match=sentence):
        Revision("workspace", project.folder).read("copied.csv")
    project.git("checkout", "-q", "-b", "merged")
    project.commit("x")
    with pytest.raises(MusicRecError, match=f"^{path} of merged holds the marks"):
        stale(project, "merged")
    file.write_text("stages: 5\n")
    with pytest.raises(MusicRecError, match=r"^DVC cannot read the project of workspace: "):
        stale(project)
