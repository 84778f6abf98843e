"""`make setup-browser` finds Chromium, installs it as root, or says what to install."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def machine(tmp_path):
    """A folder of programs that is the whole PATH."""
    program(tmp_path, "id", "echo 1000")
    return tmp_path


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!{shutil.which('bash')}\n{script}\n")
    (folder / name).chmod(0o755)


def setup(folder: Path) -> subprocess.CompletedProcess[str]:
    words = [shutil.which("bash"), str(ROOT / "scripts/setup_browser.sh")]
    return subprocess.run(words, env={"PATH": str(folder)}, capture_output=True, text=True)


def test_what_is_there_is_left_alone(machine):
    program(machine, "chromedriver", ":")
    program(machine, "google-chrome", ":")
    program(machine, "apt-get", "exit 1")
    done = setup(machine)
    assert (done.returncode, done.stdout) == (0, "")
    assert "Chromium and its driver are there" in done.stderr


def test_without_root_one_sentence_says_what_to_install(machine):
    program(machine, "chromium", ":")
    done = setup(machine)
    assert done.returncode == 1
    assert done.stderr.startswith("error: Chromium or chromedriver is missing; install both")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("works", [True, False])
def test_as_root_apt_installs_it(machine, works):
    program(machine, "id", "echo 0")
    made = "; ".join(f": > {machine}/{name}" for name in ("chromium", "chromedriver"))
    chmod = f"{shutil.which('chmod')} +x {machine}/chromium {machine}/chromedriver"
    program(machine, "apt-get", f"{made}; {chmod}" if works else "exit 100")
    done = setup(machine)
    assert (done.returncode == 0) == works
    assert "installing chromium and chromium-driver" in done.stderr
    if not works:
        assert done.stderr.splitlines()[-1].startswith("error: apt could not install")
