"""A pull request across two machines, with S3 between them: a real endpoint on loopback."""

import shutil
import sys

import pytest

from .conftest import with_cache_of

pytestmark = pytest.mark.pipeline
KEYS = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "secret", "NO_PROXY": "127.0.0.1"}


@pytest.fixture(scope="module")
def storage():
    """S3 on loopback, with one bucket."""
    server = pytest.importorskip("moto.server", reason="make setup-bench")
    boto3 = pytest.importorskip("boto3", reason="make setup-bench")
    pytest.importorskip("dvc_s3", reason="make setup-bench")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        started = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        started.start()
        started.url = "http://{}:{}".format(*started.get_host_and_port())
        client = boto3.client("s3", "us-east-1", endpoint_url=started.url)
        client.create_bucket(Bucket="models")
        yield started
        started.stop()


@pytest.fixture(scope="module")
def reviewer(storage, clone, tmp_path_factory):
    """The clone of whoever reviews the branch `wider` of another one, with neither cache."""
    author = with_cache_of(clone, tmp_path_factory.mktemp("author"))
    author.dvc("remote", "add", "--default", "storage", "s3://models/musicrec")
    author.dvc("remote", "modify", "storage", "endpointurl", storage.url)
    author.commit("DVC remote")
    author.dvc("checkout", "--allow-missing")
    author.dvc("push")
    author.git("checkout", "-q", "-b", "wider")
    author.dvc("exp", "run", "-S", "als.rank=6")
    author.commit("Rank 6")
    author.dvc("push")

    reviewer = author.clone_to(tmp_path_factory.mktemp("reviewer") / "clone")
    python = reviewer.folder / ".venv/bin/python"  # in place of make setup
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return reviewer


def make(clone, *words, **env):
    return clone.run("make", "-s", *words, "--old-file=setup", check=False, **env)


def test_the_packages_of_the_remote_are_installed(reviewer):
    done = make(reviewer, "setup-remote", PIP_DRY_RUN="1")  # they are there already
    assert done.returncode == 0, done.stderr
    assert done.stderr == "setup-remote: installing dvc-s3 for the remote storage\n"


def test_a_remote_that_a_runner_cannot_read_is_told(reviewer, tmp_path):
    reviewer.dvc("remote", "add", "--local", "nearby", str(tmp_path / "nowhere"))
    told = make(reviewer, "setup-remote", PIP_DRY_RUN="1").stderr
    reviewer.dvc("remote", "remove", "--local", "nearby")
    assert "nowhere, which this machine does not have. A CI runner cannot read a folder" in told
    reviewer.dvc("remote", "add", "--local", "odd", "oss://bucket/models")
    done = make(reviewer, "setup-remote", PIP_DRY_RUN="1")
    reviewer.dvc("remote", "remove", "--local", "odd")
    assert done.returncode == 2 and "pip install dvc-oss" in done.stderr


def test_the_branch_is_reviewed_from_what_was_pushed(reviewer):
    report = make(reviewer, "review", "BASE=origin/main")
    assert report.returncode == 0, report.stderr
    assert "| map@50 |" in report.stdout and "Gate: " in report.stdout
    gate = make(reviewer, "gate", "BASE=origin/main")
    assert "map@50" in gate.stdout
    assert ("Gate: passed" in gate.stderr) == (gate.returncode == 0)
    reviewer.dvc("pull")
    assert (reviewer.folder / "data/bundle/manifest.json").is_file()


def test_without_the_server_the_gate_ends_in_a_sentence(reviewer, storage):
    storage.stop()
    for folder in (".dvc/cache", "data"):
        shutil.rmtree(reviewer.folder / folder, ignore_errors=True)
    reviewer.git("checkout", "-q", ".")
    done = make(reviewer, "gate", "BASE=origin/main")
    assert done.returncode == 2
    assert "per_user.parquet" in done.stderr and "Traceback" not in done.stderr
