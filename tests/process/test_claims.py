"""What a killed process left is removed by the next; what a living one uses is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from musicrec.process.claims import scratch_directory
from musicrec.storage.files import atomic_directory, atomic_path

BEGIN = """
import sys
from musicrec.storage.files import atomic_directory, atomic_path
with atomic_directory(sys.argv[1] + "/folder") as folder, atomic_path(sys.argv[1] + "/file") as one:
    (folder / "half").touch()
    print("ready", flush=True)
    sys.stdin.read()
"""


def write_both(root: Path) -> None:
    with atomic_directory(root / "folder") as folder, atomic_path(root / "file"):
        (folder / "whole").touch()


def test_only_dead_temporaries_are_swept(tmp_path: Path) -> None:
    mine = tmp_path / ".file.of-mine!.unfinished"  # not the form of a temporary's name
    mine.touch()
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    unfinished = set(tmp_path.glob(".f*.unfinished")) - {mine}
    assert len(unfinished) == 2
    write_both(tmp_path)
    assert set(tmp_path.glob(".f*.unfinished")) - {mine} == unfinished
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
    write_both(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [mine.name, "file", "folder"]
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["whole"]


def test_scratch_folders_are_removed_and_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "musicrec-spark-abcd1234").mkdir()  # as a killed stage leaves it
    with scratch_directory("musicrec-spark-") as folder:
        with scratch_directory("musicrec-spark-"):
            assert folder.is_dir()
        assert list(tmp_path.iterdir()) == [folder]
    assert list(tmp_path.iterdir()) == []
