"""The layers of the environment: what a service needs, and an extra for all else."""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from musicrec.errors import EXTRAS
from tests.support.served import make_project, name_of

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Private parts of libraries, and the modules that may use them; pyproject.toml caps the versions.
PRIVATE = {"llvmlite": {"als/lanes.py"}, "numba.core": {"als/lanes.py", "jit/kernel.py"}}
ASK = """
import sys
from musicrec.bundle import load_bundle
folder, user, other, track, second = sys.argv[1:]
bundle = load_bundle(folder)
plays = {track: 3, second: 1}
print(bundle.recommend(user, 3))
print(bundle.recommend(user, 3, search_k=1000))
print(bundle.recommend(user, 3, exclude=[track], exclude_seen=False))
print(bundle.recommend_many([user, other], 3))
print(bundle.recommend_for_plays(plays, 3))
print(bundle.recommend_for_many_plays([plays], 3))
print(bundle.fold_in(plays), bundle.fold_in_track({user: 2}))
print(bundle.similar_tracks(track, 3), bundle.similar_users(user, 3))
print(bundle.explain(user, track), bundle.explain_for_plays(plays, track))
print(bundle.users[0], bundle.tracks[0], bundle.manifest, sep="\\n")
"""


def packages(requirements: list[str]) -> set[str]:
    """Names of the packages, as metadata spells them or not."""
    return {plain(re.split(r"[\[<>=; ]", package)[0]) for package in requirements}


def plain(name: str) -> str:
    """A package's name in the one spelling that compares."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def lean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a new environment that holds the packages of requirements/service.lock alone."""
    folder = tmp_path_factory.mktemp("lean")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in locked("service"):
        found = metadata.distribution(name)
        for top in {file.parts[0] for file in found.files or []} - {"..", "__pycache__"}:
            (site / top).symlink_to(Path(str(found.locate_file(top))))
    return folder / "bin/python"


def locked(name: str) -> set[str]:
    """Packages of a lock file that this Python has."""
    names = re.findall(r"^([\w.-]+)==", (ROOT / f"requirements/{name}.lock").read_text(), re.M)
    return {name for name in names if any(metadata.distributions(name=name))}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"))


def run(python: Path, *words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **env}
    return subprocess.run([python, *words], env=env, capture_output=True, text=True)


def test_a_service_asks_a_bundle_everything_with_the_lean_layer(lean: Path, project: Path) -> None:
    ids = [name_of("user", 0), name_of("user", 1), name_of("item", 0), name_of("item", 1)]
    words = ("-c", ASK, project / "bundle", *ids)
    answers = [run(python, *words) for python in (lean, Path(sys.executable))]
    assert answers[0].returncode == 0, answers[0].stderr
    assert answers[0].stdout == answers[1].stdout
    command = f"-m musicrec recommend --bundle {project}/bundle --user {ids[0]} -k 3"
    assert run(lean, *command.split()).stdout.count("item-") == 3


def test_the_lean_layer_is_small(lean: Path) -> None:
    files = [file.locate() for name in locked("service") for file in metadata.files(name) or []]
    assert sum(Path(file).stat().st_size for file in files if Path(file).exists()) < 480e6


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("compare main", "pipeline"),
        ("report", "pipeline"),
        ("tune -S als.rank=2,3", "(tune|report)"),
    ],
)
def test_a_missing_extra_is_one_sentence(lean: Path, command: str, extra: str) -> None:
    done = run(lean, "-m", "musicrec", *command.split())
    assert done.returncode == 1
    sentence = rf"error: this needs .*, of the extra {extra}: pip install 'musicrec\[{extra}\]'.*\n"
    assert re.fullmatch(sentence, done.stderr), done.stderr


def test_every_import_is_declared() -> None:
    extras = PROJECT["optional-dependencies"]
    declared = packages(PROJECT["dependencies"]).union(*map(packages, extras.values()))
    providers = metadata.packages_distributions()
    for module in imported():
        name = module.partition(".")[0]
        if name != "musicrec" and name not in sys.stdlib_module_names and name in providers:
            assert declared & set(map(plain, providers[name])), name


def test_the_extras_of_the_sentences_are_those_of_the_project() -> None:
    providers = metadata.packages_distributions()
    for extra, modules in EXTRAS.items():
        listed = packages(PROJECT["optional-dependencies"][extra])
        for module in modules:
            if module in providers:
                assert listed & set(map(plain, providers[module])), module


def test_private_parts_of_libraries_are_used_where_they_are_listed() -> None:
    for part, modules in PRIVATE.items():
        users = [where for name, where in imported().items() if f"{name}.".startswith(f"{part}.")]
        assert set().union(*users) == modules, part


@functools.cache
def imported() -> dict[str, set[str]]:
    """Modules below src/musicrec by the module that they import."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "src/musicrec").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                found.setdefault(name, set()).add(str(path.relative_to(ROOT / "src/musicrec")))
    return found
