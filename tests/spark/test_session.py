"""A session that cannot start, or is ended while it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from musicrec.spark.class_archive import archive_path
from musicrec.spark.java import find_java


def test_sigterm_during_the_start_leaves_no_java(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from musicrec.runtime import command\n"
        "from musicrec.spark.session import spark_session\n"
        "@command\n"
        "def main():\n"
        "    print('starting', flush=True)\n"
        f"    with spark_session('{tmp_path.name}'):\n"
        "        print('never', flush=True)\n"
        "sys.exit(main())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "MUSICREC_SPARK_MEMORY": "512m"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "starting\n"
    named = f"musicrec {tmp_path.name}"
    while not java_commands(named):
        assert process.poll() is None
    process.terminate()
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (143, "")
    assert err.endswith("error: terminated; no output is half written\n")
    assert not java_commands(named)


def java_commands(named: str) -> list[str]:
    """Command lines of running Spark sessions of a name."""
    listed = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True)
    commands = listed.stdout.splitlines()
    return [c for c in commands if "SparkSubmit" in c and named in c]


def test_a_start_that_fails_is_one_sentence() -> None:
    code = (
        "import sys\n"
        "from musicrec.runtime import command\n"
        "from musicrec.spark.session import spark_session\n"
        "@command\n"
        "def main():\n"
        "    with spark_session('tests'):\n"
        "        pass\n"
        "sys.exit(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "MUSICREC_SPARK_MASTER": "local[2]", "MUSICREC_SPARK_MEMORY": "much"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: MUSICREC_SPARK_MEMORY = 'much' is no size of memory")
    assert done.stderr.count("\n") == 1


COUNT_TWICE = """
from musicrec.spark.session import spark_session
for name in ("first", "second"):
    with spark_session(name, inputs=[]) as spark:
        java = spark.sparkContext._gateway.proc
        print(spark.range(5).count())
    assert java.poll() is not None, "Java runs on"
"""


def run(code: str, tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python code with a cache and a folder for temporary files of its own."""
    for name in ("cache", "tmp"):
        (tmp_path / name).mkdir()
    own = {"MUSICREC_CACHE": str(tmp_path / "cache"), "TMPDIR": str(tmp_path / "tmp")}
    spark = {"MUSICREC_SPARK_MASTER": "local[1]", "MUSICREC_SPARK_MEMORY": "512m"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | own | spark | variables,
        capture_output=True,
        text=True,
    )


def complaints(stderr: str) -> list[str]:
    """Lines of standard error, but for what Java says of every Spark."""
    return [line for line in stderr.splitlines() if "incubator modules" not in line]


def test_sessions_end_at_once_and_leave_nothing(tmp_path: Path) -> None:
    """One after the other in one process, with a class archive that is none."""
    name = archive_path(find_java()).name
    code = f"""
from pathlib import Path
folder = Path({str(tmp_path / "cache" / "java")!r})
folder.mkdir()
(folder / {name!r}).write_bytes(b"no archive" * 1000)
"""
    done = run(code + COUNT_TWICE, tmp_path)
    assert (done.returncode, done.stdout) == (0, "5\n5\n"), done.stderr
    assert complaints(done.stderr) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_class_archive_is_recorded(tmp_path: Path) -> None:
    archive = tmp_path / "spark.jsa"
    code = f"""
from pathlib import Path
from musicrec.spark.session import spark_session
with spark_session("record", inputs=[], record=Path({str(archive)!r})):
    pass
"""
    done = run(code, tmp_path)
    assert (done.returncode, complaints(done.stderr)) == (0, [])
    assert archive.stat().st_size > 10 << 20
    assert list((tmp_path / "tmp").iterdir()) == []
