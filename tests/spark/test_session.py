"""Sessions that start, end, do not start, or are ended by a signal or a Java that dies."""

import os
import subprocess
import sys

import pytest

from musicrec.spark.java import reason_in

SCRIPT = """
import sys
from musicrec import runtime
def main():
    from musicrec.spark.session import spark_session
    print("starting", flush=True)
    for name in sys.argv[1:]:
        with spark_session(name) as spark:
            context = spark.sparkContext
            assert context.pythonExec == sys.executable
            print(context.parallelize([1, 2]).map(lambda one: 2 * one).sum(), flush=True)
            java = context._gateway.proc
            if name == "dies":
                java.kill()
                spark.range(5).count()
        assert java.poll() is not None, "Java runs on"
runtime.run(main)
"""
# A host name that does not resolve, and a user whom the system does not know.
STRANGE = ["unshare", "--uts", "--user", "--map-user=54321", "--map-group=54321"]


def start(folder, *words, before=None, **changed):
    (folder / "tmp").mkdir()
    own = {"TMPDIR": str(folder / "tmp"), "PYSPARK_PYTHON": "/bin/false", "SPARK_HOME": "/nowhere"}
    spark = {"MUSICREC_SPARK_MASTER": "local[1]", "MUSICREC_SPARK_MEMORY": "600m"}
    (folder / "script.py").write_text(SCRIPT)
    return subprocess.Popen(
        [*(before or []), sys.executable, folder / "script.py", *words],
        env=os.environ | own | spark | changed,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def can_be_strange():
    try:
        return subprocess.run([*STRANGE, "true"], capture_output=True).returncode == 0
    except OSError:
        return False


def test_two_sessions_in_one_process_and_a_java_that_dies(tmp_path):
    """In surroundings of another Spark, of a host without address and of a user without a name."""
    shell = ["sh", "-c", 'hostname no-such-host 2>/dev/null; exec "$0" "$@"']
    process = start(tmp_path, "first", "dies", before=can_be_strange() * [*STRANGE, *shell])
    printed, said = process.communicate(timeout=400)
    assert (process.returncode, printed) == (1, "starting\n6\n6\n"), said
    assert said.startswith("error: Java stopped during dies (") and said.count("\n") == 1
    assert list((tmp_path / "tmp").iterdir()) == []


def test_sigterm_during_the_start_leaves_no_java(tmp_path):
    process = start(tmp_path, tmp_path.name)
    assert process.stdout is not None
    assert process.stdout.readline() == "starting\n"
    named = f"musicrec {tmp_path.name}"
    while not java_commands(named):
        assert process.poll() is None
    process.terminate()
    printed, said = process.communicate(timeout=120)
    assert (process.returncode, printed) == (143, "")
    assert said == "error: terminated; no output is half written\n"
    assert not java_commands(named)
    assert list((tmp_path / "tmp").iterdir()) == []


def java_commands(named):
    """Command lines of running Spark sessions of a name."""
    listed = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True)
    commands = listed.stdout.splitlines()
    return [c for c in commands if "SparkSubmit" in c and named in c]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MUSICREC_SPARK_MASTER", "spark://127.0.0.1:9", "no Spark master answers there;"),
        ("MUSICREC_SPARK_MASTER", "spark://127.0.0.1", "no Spark master answers there;"),
        ("MUSICREC_SPARK_MASTER", "moon", "Spark could not start on moon ("),
        ("MUSICREC_SPARK_MEMORY", "much", "(Invalid maximum heap size: -Xmxmuch)"),
        ("MUSICREC_SPARK_MEMORY", "300m", "(Insufficient driver memory: "),
    ],
)
def test_a_start_that_fails_is_one_sentence(name, value, said, tmp_path):
    """In a process of its own: here it would end the session that the tests share."""
    process = start(tmp_path, "tests", **{name: value})
    printed, found = process.communicate(timeout=120)
    assert (process.returncode, printed) == (1, "starting\n")
    assert said in found and found.count("\n") == 1


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ("", ""),
        ("WARNING: Using incubator modules: jdk.incubator.vector\n", ""),
        (
            'Exception in thread "main" java.lang.IllegalArgumentException: bad master\n'
            "\tat org.apache.spark.SparkSubmit\nCaused by: java.net.Unknown: no such host\n",
            "java.net.Unknown: no such host",
        ),
        (
            "# There is insufficient memory for the Java Runtime Environment to continue.\n"
            "Error: x\n",
            "There is insufficient memory for the Java Runtime Environment to continue",
        ),
        ("Unrecognized VM option 'X'\nError: Could not create the Java Virtual Machine.\n", "Could "
         "not create the Java Virtual Machine"),
    ],
)  # fmt: skip
def test_the_line_of_java_that_says_why(printed, reason, tmp_path):
    (tmp_path / "java.log").write_text(printed)
    assert reason_in(tmp_path / "java.log") == reason
