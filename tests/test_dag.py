"""dvc.yaml lists for every stage exactly the modules its script imports and the params it reads."""

from __future__ import annotations

import ast
import dataclasses
import typing
from pathlib import Path

import pytest
import yaml

from musicrec.params import Params, load_params

ROOT = Path(__file__).parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
NAMES = ["sample", "ingest", "downsample", "index", "train", "evaluate", "export", "ann-bench"]


def script(stage: str) -> Path:
    return ROOT / "stages" / f"{stage.replace('-', '_')}.py"


def imported_modules(path: Path) -> set[Path]:
    """Files of the package that a file imports, at the top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            if parts[0] != "musicrec":
                continue
            for depth in range(1, len(parts) + 1):
                module = ROOT / "src" / Path(*parts[:depth])
                for candidate in (module / "__init__.py", module.with_suffix(".py")):
                    if candidate.is_file():
                        found.add(candidate)
    return found


def closure(path: Path) -> set[Path]:
    """Everything of the package that a script imports, directly or not."""
    done: set[Path] = set()
    waiting = [path]
    while waiting:
        for module in imported_modules(waiting.pop()) - done:
            done.add(module)
            waiting.append(module)
    return done


def params_read(path: Path) -> set[str]:
    """Keys of the blocks that a script takes from the loaded parameters."""
    tree = ast.parse(path.read_text())
    blocks = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and (
            (isinstance(node.value, ast.Name) and node.value.id == "params")
            or (
                isinstance(node.value, ast.Call)
                and isinstance(node.value.func, ast.Name)
                and node.value.func.id == "load_params"
            )
        )
    }
    defaults = load_params(ROOT / "params.yaml")
    return {key for block in blocks for key in keys(getattr(defaults, block), block)}


def keys(block: object, prefix: str) -> set[str]:
    names: set[str] = set()
    for field in dataclasses.fields(block):  # type: ignore[arg-type]
        value = getattr(block, field.name)
        name = f"{prefix}.{field.name}"
        names |= keys(value, name) if dataclasses.is_dataclass(value) else {name}
    return names


def test_the_stages_are_those_of_the_design() -> None:
    assert list(STAGES) == NAMES
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} == {script(n).stem for n in NAMES}


@pytest.mark.parametrize("stage", NAMES)
def test_dependencies_are_the_import_closure(stage: str) -> None:
    listed = [dep for dep in STAGES[stage]["deps"] if dep.endswith(".py")]
    needed = {str(p.relative_to(ROOT)) for p in [script(stage), *closure(script(stage))]}
    assert sorted(listed) == sorted(needed)


@pytest.mark.parametrize("stage", NAMES)
def test_params_are_those_the_script_reads(stage: str) -> None:
    assert sorted(STAGES[stage].get("params", [])) == sorted(params_read(script(stage)))


@pytest.mark.parametrize("stage", NAMES)
def test_every_stage_says_what_it_does_and_names_its_paths(stage: str) -> None:
    spec = STAGES[stage]
    assert len(spec["desc"]) > 20
    assert spec["cmd"].startswith(f"PYTHONPATH=src python stages/{script(stage).name} ")
    words = spec["cmd"].split()
    for kind in ("outs", "metrics", "plots"):
        for out in spec.get(kind, []):
            path = out if isinstance(out, str) else next(iter(out))
            assert path in words, f"{path} is not on the command line"


def test_params_yaml_holds_every_parameter_with_its_default() -> None:
    """So that `-S key=value` and `dvc params diff` know all of them."""
    blocks = typing.get_type_hints(Params)
    written = load_params(ROOT / "params.yaml")
    assert written == Params(**{name: block() for name, block in blocks.items()})
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    in_file = {f"{name}.{key}" for name, block in content.items() for key in flatten(block)}
    assert in_file == {key for name in blocks for key in keys(getattr(written, name), name)}


def flatten(block: dict) -> list[str]:
    return [
        f"{key}.{below}" if below else key
        for key, value in block.items()
        for below in (flatten(value) if isinstance(value, dict) else [""])
    ]
