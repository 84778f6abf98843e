"""dvc.yaml lists for every stage exactly the modules its script imports and the params it reads."""

import ast
from pathlib import Path

import grimp
import pytest
import yaml

from musicrec.params import MODELS, load_params

ROOT = Path(__file__).parents[1]
IMPORTS = grimp.build_graph("musicrec")
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
NAMES = [
    *("sample", "ingest", "downsample", "index", "train"),
    # The model before the baselines, in whose order `dvc exp show` has its columns.
    *("evaluate", "baselines", "export", "ann-bench"),
]


def script(stage):
    return ROOT / "stages" / f"{stage.replace('-', '_')}.py"


def folders(stage):
    """What a stage depends on: the folders of the package that it imports from, at any distance.

    How a process ends, and the sentence it ends with, change no output.
    """
    found = set()
    for node in ast.walk(ast.parse(script(stage).read_text())):
        if isinstance(node, ast.ImportFrom):
            names = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            for name in names & IMPORTS.modules:
                found |= {name, *IMPORTS.find_upstream_modules(name)}
    parts = {name.split(".")[1] for name in found} - {"errors", "runtime"}
    package = ROOT / "src/musicrec"
    return {f"src/musicrec/{part if (package / part).is_dir() else f'{part}.py'}" for part in parts}


def params_read(path):
    """Blocks of params.yaml that a script loads, as `judged = load_block(path, EvaluateParams)`.

    A block of which the script only takes some keys (`judged.k`) stands for these keys.
    """
    tree = ast.parse(path.read_text())
    by_class = {model.__name__: model for model in MODELS}
    found = set()
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "load_block"):
            continue
        model = by_class[ast.unparse(node.args[1])]
        (name,) = (
            ast.unparse(statement.targets[0])
            for statement in ast.walk(tree)
            if isinstance(statement, ast.Assign) and statement.value is node
        )
        taken = [
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == name
        ]
        names = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == name]
        as_a_whole = len(names) - 1 > len(taken) or set(taken) >= set(model.model_fields)
        found |= {model.block} if as_a_whole else {f"{model.block}.{key}" for key in taken}
    return found


def test_the_stages_are_those_of_the_design():
    assert list(STAGES) == NAMES
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} == {script(n).stem for n in NAMES}


@pytest.mark.parametrize("stage", NAMES)
def test_dependencies_are_the_folders_that_are_imported(stage):
    code = [dep for dep in STAGES[stage]["deps"] if dep.startswith(("src/", "stages/"))]
    assert code == [f"stages/{script(stage).name}", *sorted(folders(stage))]


@pytest.mark.parametrize("stage", NAMES)
def test_params_are_the_blocks_the_script_reads(stage):
    assert sorted(STAGES[stage].get("params", [])) == sorted(params_read(script(stage)))


@pytest.mark.parametrize("stage", NAMES)
def test_every_stage_says_what_it_does_and_names_its_paths(stage):
    spec = STAGES[stage]
    assert len(spec["desc"]) > 20
    assert spec["cmd"].startswith(f"sh stages/python.sh stages/{script(stage).name} ")
    words = spec["cmd"].split()
    for kind in ("outs", "metrics", "plots"):
        for out in spec.get(kind, []):
            path = out if isinstance(out, str) else next(iter(out))
            named = path in words or str(Path(path).parent) in words
            assert named, f"neither {path} nor its folder is on the command line"


def test_defaults_are_the_setting_of_the_original_project():
    original = load_params(ROOT / "params.original.yaml")
    shipped = load_params(ROOT / "params.yaml")
    for model in MODELS:
        assert getattr(original, model.block) == model()
        if model.block not in ("als", "feedback"):  # which the search has found
            assert getattr(shipped, model.block) == model()
