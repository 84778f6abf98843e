"""A session that cannot start, or is ended while it starts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path


def test_sigterm_during_the_start_leaves_no_java(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from musicrec.command import command\n"
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
    time.sleep(2)  # the time it takes Java to be there, and not to be ready
    process.terminate()
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (143, "")
    assert err.endswith("error: terminated; no output was written\n")
    named = f"musicrec {tmp_path.name}"
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    commands = listed.stdout.splitlines()
    assert not [c for c in commands if "SparkSubmit" in c and named in c]


def test_a_start_that_fails_is_one_sentence() -> None:
    code = (
        "import sys\n"
        "from musicrec.command import command\n"
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
    assert "error: Spark could not start on local[2] (" in done.stderr
    assert "Traceback (most recent call last)" not in done.stderr
