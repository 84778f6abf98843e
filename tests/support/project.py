"""A scratch project of Git and DVC, and the commands typed in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from musicrec.project import Revision


class Project:
    """A folder with commands run in it, and variables of their environment."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.variables = {"GIT_CONFIG_GLOBAL": os.devnull, "DVC_NO_ANALYTICS": "1", **variables}

    @property
    def environment(self) -> dict[str, str]:
        """What commands see: this Python's programs come first on PATH."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, **self.variables}

    def run(self, *words: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            words,
            cwd=self.folder,
            env={**self.environment, **env},
            capture_output=True,
            text=True,
            timeout=1800,
        )
        assert not check or done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done

    def git(self, *words: str) -> str:
        return self.run("git", *words).stdout

    def dvc(self, *words: str) -> str:
        done = self.run(sys.executable, "-m", "dvc", *words)
        return done.stdout + done.stderr

    def init(self) -> None:
        """Make it a repository of Git, on branch `main`, with an author for its commits."""
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.email", "someone@example.org")
        self.git("config", "user.name", "Someone")

    def clone_to(self, folder: Path) -> Project:
        """Clone it into a folder."""
        subprocess.run(["git", "clone", "-q", self.folder, folder], check=True)
        clone = Project(folder, **self.variables)
        clone.init()
        return clone

    def set(self, old: str, new: str) -> None:
        """Replace a text of params.yaml."""
        path = self.folder / "params.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "-q", "-m", message)

    def revision(self, name: str) -> Revision:
        return Revision(name, self.folder)
