"""What set-up, the shell of the stages and the workflow do on other machines than this."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


def run(*words: str | Path, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **env}
    return subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True)


def program(path: Path, script: str) -> Path:
    """Write a shell script that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "zsh", "csh", "tcsh", "fish"])
def test_any_login_shell_runs_the_command_of_a_stage(shell: str) -> None:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"there is no {shell}")
    done = run(found, "-c", "sh stages/python.sh stages/sample.py --help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: sample.py")


def test_a_python_without_the_packages_is_passed_over_or_named(tmp_path: Path) -> None:
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


def test_make_says_that_an_archive_is_no_repository(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    ceiling = {"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    done = run("make", "-s", "checkout", cwd=tmp_path, **ceiling)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path} is not a Git repository")


def test_without_java_or_root_spark_is_not_set_up(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (tmp_path / "src").symlink_to(ROOT / "src")
    program(tmp_path / ".venv/bin/python", f'exec "{sys.executable}" "$@"')
    for name in ("bash", "dirname"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    program(tmp_path / "id", "echo 1000")
    done = run("bash", "scripts/setup_spark.sh", cwd=tmp_path, PATH=str(tmp_path), JAVA_HOME="")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: Spark needs Java 17 or newer, but none was found")


def test_line_ends_are_those_of_unix_in_any_clone(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copy(ROOT / ".gitattributes", tmp_path)
    for words in ("init -q", "config core.autocrlf true", "add -A", "checkout-index -f -a"):
        run("git", *words.split(), cwd=tmp_path)
    assert b"\r" not in (tmp_path / "scripts/setup.sh").read_bytes()


def test_the_workflow_renews_its_own_comment(tmp_path: Path) -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/review.yml").read_text())
    steps = {step.get("name"): step for step in workflow["jobs"]["review"]["steps"]}
    (tmp_path / "report.md").write_text("better\n")
    program(tmp_path / "gh", 'echo "$@" >> typed; case "$*" in *--jq*) cat own;; esac')
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_REPOSITORY": "a/b", "NUMBER": "7"}
    for own, wanted in (
        ("", "a/b/issues/7/comments"),
        ("31\n32\n", "PATCH .*a/b/issues/comments/31"),
    ):
        (tmp_path / "own").write_text(own)
        done = run("bash", "-e", "-c", steps["comment"]["run"], cwd=tmp_path, **env)
        assert done.returncode == 0, done.stderr
        typed = (tmp_path / "typed").read_text().splitlines()
        assert re.search(wanted, typed[-1]) and "body=@comment.md" in typed[-1]
        assert (tmp_path / "comment.md").read_text() == "<!-- musicrec review -->\n\nbetter\n"
    rules = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake (?:-s )?([a-z-]+)", json.dumps(workflow)):
        assert f"\n{target}:" in rules
