"""`make clean` removes what the stages wrote, and nothing else."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.support.project import Project
from tests.support.scripts import ROOT

DAG = """
stages:
  one:
    cmd: mkdir -p data/one && echo one > data/one/part && echo 1 > metrics.json
    outs: [data/one]
    metrics: [{metrics.json: {cache: false}}]
  two:
    cmd: echo two > data/two && echo three > data/three
    outs: [data/two, {data/three: {cache: false, persist: true}}]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project whose stages have run."""
    made = Project(tmp_path_factory.mktemp("made"))
    folder = made.folder
    made.init()
    made.dvc("init", "-q")
    (folder / "dvc.yaml").write_text(DAG)
    (folder / "data").mkdir()
    (folder / "data/.gitignore").write_text("/one\n/two\n/three\n")
    made.dvc("repro", "-q")
    (folder / "data/lastfm").mkdir()
    (folder / "data/lastfm/plays.csv").write_text("user,track\n")
    return folder


@pytest.fixture
def project(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "copy"))


def files(folder):
    return {str(p.relative_to(folder)) for p in (folder / "data").rglob("*") if p.is_file()}


def clean(project):
    return Project(project).run(sys.executable, str(ROOT / "scripts/clean.py")).stderr


def test_own_plays_and_tracked_files_stay(project):
    assert files(project) > {"data/one/part", "data/two", "data/three"}
    assert clean(project) == ""
    assert files(project) == {"data/lastfm/plays.csv", "data/.gitignore"}
    assert (project / "metrics.json").exists()
    Project(project).dvc("checkout", "-q")  # the cache has the rest
    assert files(project) > {"data/one/part", "data/two"}


def test_what_no_stage_wrote_stays(project):
    (project / "data/one/mine.csv").write_text("user,track\n")
    (project / "data/two").unlink()  # DVC may have linked it to the cache
    (project / "data/two").write_text("mine")
    before = files(project)
    told = clean(project)
    assert "kept data/one: it is not what its stage last wrote" in told and "kept data/two" in told
    assert files(project) == before - {"data/three"}
    (project / "data/three").write_text("mine too")
    (project / "dvc.lock").unlink()
    assert "kept data/three" in clean(project)
    assert files(project) == before and (project / "data/two").read_text() == "mine"
