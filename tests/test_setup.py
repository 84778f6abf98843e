"""`make setup` on a machine where something is missing: install it as root, else say what to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("bash", "sh", "dirname", "sed", "touch", "grep", "uname", "env")


class Machine:
    """A checkout's set-up script and a PATH with a few programs on it."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        (folder / "scripts").mkdir()
        shutil.copy(ROOT / "scripts/setup.sh", folder / "scripts")
        (folder / "src").symlink_to(ROOT / "src")
        for name in TOOLS:
            (self.bin / name).symlink_to(shutil.which(name) or "/bin/false")
        self.program("python3", f'exec "{sys.executable}" "$@"')
        self.program("java", "echo 'openjdk version \"17.0.1\"' >&2")
        self.program("c++", ":")
        self.program("id", "echo 1000")
        self.folder = folder
        self.python = "echo environment reached\nexit 3"

    def program(self, name: str, script: str) -> None:
        """Put a shell script on PATH."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def setup(self) -> subprocess.CompletedProcess[str]:
        """Run the set-up; the environment itself is a stub that says it was reached."""
        python = self.folder / ".venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f"#!/bin/sh\n{self.python}\n")
        python.chmod(0o755)
        return subprocess.run(
            ["bash", str(self.folder / "scripts" / "setup.sh")],
            env={"PATH": str(self.bin), "HOME": os.environ.get("HOME", "/")},
            capture_output=True,
            text=True,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    folder = tmp_path / "a checkout"
    folder.mkdir()
    return Machine(folder)


def test_with_everything_there_nothing_is_installed(machine: Machine) -> None:
    machine.program("apt-get", "echo apt was called; exit 1")
    done = machine.setup()
    assert "environment reached" in done.stdout
    assert "apt" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("java", "error: Spark needs Java 17 or newer, but none was found"),
        ("c++", "error: a C++ compiler is missing; install it"),
    ],
)
def test_without_root_one_sentence_says_what_to_install(
    machine: Machine, missing: str, sentence: str
) -> None:
    (machine.bin / missing).unlink()
    done = machine.setup()
    assert done.returncode == 1
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("missing", "package"), [("java", "openjdk-17-jre-headless"), ("c++", "g++")]
)
def test_as_root_on_debian_apt_installs_it(machine: Machine, missing: str, package: str) -> None:
    program = machine.bin / missing
    packed = program.rename(machine.folder / "packed")
    machine.program("id", "echo 0")
    machine.program("apt-cache", "exit 0")
    machine.program("apt-get", f'case "$*" in *{package}*) /bin/cp "{packed}" "{program}";; esac')
    done = machine.setup()
    assert f"installing {package} through apt" in done.stderr
    assert "environment reached" in done.stdout


def test_annoy_is_compiled_with_flags_of_its_own_and_never_from_a_cache(machine: Machine) -> None:
    """Unless the installed one is such a build already."""
    shutil.copy(ROOT / "requirements.lock", machine.folder)
    python = machine.folder / ".venv/bin/python"
    for installed, asked in ((1, True), (0, False)):
        machine.python = f'''case "$*" in *annoy_build) exit {installed};; esac
            echo "$ANNOY_COMPILER_ARGS $*" >>"{machine.folder}/typed"'''
        machine.setup()
        typed = (machine.folder / "typed").read_text()
        (machine.folder / "typed").unlink()
        shutil.rmtree(python.parents[1])
        lines = [line for line in typed.splitlines() if "--no-binary annoy" in line]
        assert bool(lines) == asked
        assert all(line.startswith("-O3") and "--no-cache-dir" in line for line in lines)
