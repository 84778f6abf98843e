"""The session factory, Java's version, and Parquet parts with stable names and bytes."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from musicrec.errors import MusicRecError
from musicrec.parquet import read_table
from musicrec.spark import session as factory


def fake_java(folder: Path, prints: str) -> Path:
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho '{prints}' >&2\n")
    java.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("prints", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ("nothing of the kind", None),
    ],
)
def test_java_version(tmp_path: Path, prints: str, version: int | None) -> None:
    home = fake_java(tmp_path / "jdk", prints)
    assert factory.java_version(home / "bin" / "java") == version


def test_java_home_comes_before_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = fake_java(tmp_path / "home", 'openjdk version "21"')
    other = fake_java(tmp_path / "path", 'openjdk version "17"')
    monkeypatch.setenv("PATH", f"{other / 'bin'}:/bin:/usr/bin")
    monkeypatch.setenv("JAVA_HOME", str(chosen))
    assert factory.find_java() == chosen / "bin" / "java"
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "gone"))
    assert factory.find_java() == other / "bin" / "java"


def test_old_java_is_named_in_the_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = fake_java(tmp_path / "old", 'java version "1.8.0_402"')
    monkeypatch.setenv("PATH", f"{old / 'bin'}:/bin")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: str(old / "bin" / "java"))
    with pytest.raises(MusicRecError, match=r"is version 8; install one") as caught:
        factory.find_java()
    assert "\n" not in str(caught.value)


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.md5(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def test_parts_have_stable_names_and_bytes(spark, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """In a folder with a space and a percent sign, from rows in another order and partitioning."""
    rows = [(f"u{n % 7}", f"t{n}", n + 1) for n in range(50)]
    for name, order, partitions in (("a 1%20", rows, 1), ("b", rows[::-1], 5)):
        frame = spark.createDataFrame(order, "user_id string, track_id string, count long")
        factory.write_parts(
            frame.repartition(partitions), tmp_path / name, "user_id", ["user_id", "track_id"], 3
        )
    first, second = digests(tmp_path / "a 1%20"), digests(tmp_path / "b")
    assert first == second
    assert all(re.fullmatch(r"part-0000[0-2]\.parquet", name) for name in first)
    written = read_table(tmp_path / "b").to_pylist()
    assert sorted(tuple(row.values()) for row in written) == sorted(rows)


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
