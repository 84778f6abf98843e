"""`stages/python.sh`: the Python that has the packages, or one sentence."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "stages/python.sh"
ASK = "import os, sys; print(sys.executable, os.environ['PYTHONPATH'])"
TOOLS = ("sh", "dirname", "tail")


class Checkout:
    """A checkout without an environment, and a PATH with a few programs on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "a checkout"
        self.bin = folder / "bin"
        (self.folder / "stages").mkdir(parents=True)
        self.bin.mkdir()
        shutil.copy(SCRIPT, self.folder / "stages")
        for name in TOOLS:
            (self.bin / name).symlink_to(shutil.which(name) or "/bin/false")

    def python(self, path: Path, *, whole: bool = True) -> Path:
        """Put a Python there: this one, or this one without its packages."""
        path.parent.mkdir(parents=True, exist_ok=True)
        isolated = "" if whole else "-S -I "
        path.write_text(f'#!/bin/sh\nNAMED="{path}" exec "{sys.executable}" {isolated}"$@"\n')
        path.chmod(0o755)
        return path

    def run(self, script: str = "stages/python.sh", **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*("sh", script, "-c"), "import os; print(os.environ['NAMED'])"],
            cwd=self.folder,
            env={"PATH": str(self.bin), **env},
            capture_output=True,
            text=True,
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_environment_of_the_checkout_comes_before_any_on_path(checkout: Checkout) -> None:
    checkout.python(checkout.bin / "python")
    assert checkout.run().stdout.strip() == str(checkout.bin / "python")
    own = checkout.python(checkout.folder / ".venv/bin/python")
    assert checkout.run().stdout.strip() == str(own)
    named = checkout.python(checkout.folder / "elsewhere/python3.12")
    assert checkout.run(MUSICREC_PYTHON=str(named)).stdout.strip() == str(named)


def test_a_foreign_python_first_on_path_is_passed_over(checkout: Checkout) -> None:
    checkout.python(checkout.bin / "python", whole=False)
    right = checkout.python(checkout.bin / "python3")
    assert checkout.run().stdout.strip() == str(right)


def test_an_environment_that_make_setup_finished_is_taken_at_its_word(checkout: Checkout) -> None:
    """A look at its packages takes as long as Python's start, in every stage."""
    own = checkout.python(checkout.folder / ".venv/bin/python", whole=False)
    other = checkout.python(checkout.bin / "python")
    assert checkout.run().stdout.strip() == str(other)
    (checkout.folder / ".venv/setup-done").touch()
    assert checkout.run().stdout.strip() == str(own)
    assert checkout.run(MUSICREC_PYTHON=str(other)).stdout.strip() == str(other)
    own.unlink()
    assert checkout.run().stdout.strip() == str(other)


def test_a_queued_experiment_has_the_environment_of_its_workspace(checkout: Checkout) -> None:
    own = checkout.python(checkout.folder / ".venv/bin/python")
    copy = checkout.folder / ".dvc/tmp/exps/tmpa1b2/stages"
    copy.mkdir(parents=True)
    shutil.copy(SCRIPT, copy)
    assert checkout.run(str(copy / "python.sh")).stdout.strip() == str(own)


@pytest.mark.parametrize(
    ("foreign", "said"),
    [
        (False, "there is no .venv, and no python on PATH"),
        (True, "python has no package annoy; "),
    ],
)
def test_without_any_one_sentence_says_what_was_found(
    checkout: Checkout, foreign: bool, said: str
) -> None:
    if foreign:
        checkout.python(checkout.bin / "python", whole=False)
        checkout.python(checkout.bin / "python3", whole=False)
    done = checkout.run()
    assert done.returncode == 1
    assert done.stderr.startswith("error: no Python with musicrec's packages was found; ")
    assert said in done.stderr and "run make setup" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_stages_run_the_source_of_their_own_checkout() -> None:
    done = subprocess.run(["sh", SCRIPT, "-c", ASK], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip("\n").endswith(f" {ROOT / 'src'}")


def test_every_package_is_looked_for() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split("[<>=]", package)[0].replace("pyyaml", "yaml") for package in wanted}
    looked_for = re.search('names = "(.*)"', SCRIPT.read_text())
    assert looked_for is not None
    assert set(looked_for[1].split()) == names - {
        "dvc",  # which runs the stages, from anywhere
        "optuna",  # of `musicrec tune`, which is no stage
        "ruamel.yaml.clib",  # of DVC's parser
    }


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "zsh", "csh", "tcsh", "fish"])
def test_any_login_shell_runs_the_command_of_a_stage(shell: str) -> None:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"there is no {shell}")
    command = "sh stages/python.sh stages/sample.py --help"
    words = [found, "-c", command]
    done = subprocess.run(words, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: sample.py")


def test_make_says_that_an_archive_is_no_repository(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    words = ["make", "-s", "checkout"]
    env = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path} is not a Git repository")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(words, cwd=tmp_path, env=env, check=True)
