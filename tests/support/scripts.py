"""Scripts of the repository, imported by their path or run as a stage."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def load_script(path: str) -> ModuleType:
    """Import a script of the repository by its path."""
    name = path.replace("/", "_").removesuffix(".py")
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where a dataclass looks for its annotations
    spec.loader.exec_module(module)
    return module


def run_stage(name: str, folder: Path, params: str, **paths: Path | str) -> str:
    """Run a stage in a folder with parameters and options such as `per_user=FILE`; what it says."""
    (folder / "params.yaml").write_text(params)
    words = [sys.executable, ROOT / f"stages/{name}.py", "--params", "params.yaml"]
    for option, path in paths.items():
        words += [f"--{option.replace('_', '-')}", path]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(words, cwd=folder, env=env, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr
