"""Nothing that is read runs as code, and Spark listens to this machine alone."""

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path for folder in ("src", "stages", "scripts") for path in (ROOT / folder).rglob("*.py")
)
UNSAFE = {
    *("eval", "exec", "os.system", "os.popen"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load"),
    *("pickle.load", "pickle.loads", "joblib.load", "marshal.loads", "shelve.open"),
}


def calls(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_that_is_read_runs(path):
    for name, call in calls(path):
        given = {word.arg: ast.unparse(word.value) for word in call.keywords}
        where = f"{path}:{call.lineno}"
        assert name not in UNSAFE, where
        assert given.get("shell") in (None, "False"), where
        if name in ("np.load", "np.lib.format.read_array"):
            assert given.get("allow_pickle") == "False", where


def test_no_parameter_reaches_a_shell():
    """DVC puts `${...}` into a command as it stands; a dependency is only a path to it."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for name, stage in stages.items():
        assert "$" not in stage["cmd"] and "`" not in stage["cmd"], name


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks into Linux's /proc")
def test_spark_listens_to_this_machine_alone(spark):
    """Every socket of Java that listens is bound to loopback."""
    pid = spark.sparkContext._gateway.proc.pid
    inodes = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(handle.readlink())
        except OSError:  # closed meanwhile
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                listening.append(fields[1].rpartition(":")[0])
    assert listening
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    assert set(listening) <= loopback
