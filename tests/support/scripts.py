"""Scripts of the repository, imported by their path or run as a stage."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load_script(path: str) -> ModuleType:
    """Import a script of the repository by its path."""
    name = path.replace("/", "_").removesuffix(".py")
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where a dataclass looks for its annotations
    spec.loader.exec_module(module)
    return module


def stage_words(name: str, folder: Path, params: str, **paths: Path | str) -> list[str]:
    """A stage's script and its options, such as `per_user=FILE`; params.yaml, if there are any."""
    if params:
        (folder / "params.yaml").write_text(params)
        paths["params"] = "params.yaml"
    words = [str(ROOT / f"stages/{name}.py")]
    for option, path in paths.items():
        words += [f"--{option.replace('_', '-')}", str(path)]
    return words


def run_stage(name: str, folder: Path, params: str, **paths: Path | str) -> None:
    """Run the `main` of a stage in a folder, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", stage_words(name, folder, params, **paths))
        load_script(f"stages/{name}.py").main()


def stage_process(
    name: str, folder: Path, params: str, **paths: Path | str
) -> subprocess.CompletedProcess[str]:
    """Run a stage in a folder, as DVC does; how it ended."""
    words = [sys.executable, *stage_words(name, folder, params, **paths)]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True)
