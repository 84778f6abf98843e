"""What set-up, the shell of the stages and the workflow do on other machines than this."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(*words, cwd=ROOT, **env):
    env = {**os.environ, **env}
    return subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True)


def program(path, script):
    """Write a shell script that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "zsh", "csh", "tcsh", "fish"])
def test_any_login_shell_runs_the_command_of_a_stage(shell):
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"there is no {shell}")
    done = run(found, "-c", "sh stages/python.sh stages/sample.py --help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: sample.py")


def test_a_python_without_the_packages_is_passed_over_or_named(tmp_path):
    copy = tmp_path / "a clone/.dvc/tmp/exps/one/stages/python.sh"  # of a queued experiment
    copy.parent.mkdir(parents=True)
    shutil.copy(ROOT / "stages/python.sh", copy)
    asked = ("/bin/sh", copy, "-c", "import os; print(os.environ['NAMED'])")
    path = f"{tmp_path / 'bin'}:/usr/bin:/bin"

    bare = program(tmp_path / "bin/python", f'exec "{sys.executable}" -S -I "$@"')
    program(tmp_path / "bin/python3", f'exec "{bare}" "$@"')
    done = run(*asked, PATH=path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: no Python with musicrec's packages was found")
    assert "python has no package annoy" in done.stderr and "run make setup" in done.stderr

    whole = tmp_path / "a clone/.venv/bin/python"
    for place in (tmp_path / "bin/python3", whole, tmp_path / "other"):  # each goes before the last
        program(place, f'NAMED={place.name} exec "{sys.executable}" "$@"')
        named = {"MUSICREC_PYTHON": str(place)} if place.name == "other" else {}
        assert run(*asked, PATH=path, **named).stdout == f"{place.name}\n"


def test_line_ends_are_those_of_unix_in_any_clone(tmp_path):
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copy(ROOT / ".gitattributes", tmp_path)
    for words in ("init -q", "config core.autocrlf true", "add -A", "checkout-index -f -a"):
        run("git", *words.split(), cwd=tmp_path)
    assert b"\r" not in (tmp_path / "scripts/setup.sh").read_bytes()


def test_plays_below_data_never_go_into_git_and_their_pointers_do(tmp_path):
    """DVC commits what a stage reads to an experiment, unless Git is told to ignore it."""
    run("git", "init", "-q", cwd=tmp_path)
    (tmp_path / "data").mkdir()
    shutil.copy(ROOT / "data/.gitignore", tmp_path / "data")
    plays = ["data/mine/plays.csv", "data/mine/below/plays.parquet"]
    names = [*plays, "data/mine/plays.csv.dvc", "params.yaml"]
    assert run("git", "check-ignore", *names, cwd=tmp_path).stdout.split() == plays


def test_the_workflow_makes_targets_that_there_are():
    workflow = (ROOT / ".github/workflows/review.yml").read_text()
    rules = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake (?:-s )?([a-z-]+)", workflow):
        assert f"\n{target}:" in rules
