"""Outputs that cannot be written stop a stage before its work."""

from __future__ import annotations

from pathlib import Path

import pytest

from musicrec.errors import MusicRecError
from musicrec.process.outputs import require_writable

PETABYTE = 10**15


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lock(**sizes: int) -> None:
    outs = "".join(f"    - path: data/{name}\n      size: {size}\n" for name, size in sizes.items())
    Path("dvc.lock").write_text(f"schema: '2.0'\nstages:\n  train:\n    outs:\n{outs}")


def test_a_folder_that_is_a_file(project: Path) -> None:
    (project / "data").write_text("")
    with pytest.raises(MusicRecError, match="data is a file, not a folder"):
        require_writable([Path("data/factors")])


def test_less_room_than_the_last_run_took() -> None:
    lock(factors=PETABYTE, plots=1)
    with pytest.raises(MusicRecError, match=r"MB are free .* last run wrote 1,000,000,000\.0 MB"):
        require_writable([Path("data/factors")])
    require_writable([Path("data/plots"), Path("data/other")])


def test_outputs_on_one_disk_share_its_room() -> None:
    lock(**{f"part{i}": PETABYTE // 1000 for i in range(1000)})
    with pytest.raises(MusicRecError, match="last run wrote"):
        require_writable([Path(f"data/part{i}") for i in range(1000)])


@pytest.mark.parametrize("text", ["", "[]", "stages: [", "stages:\n  train: 3\n", "<<<<<<< HEAD\n"])
def test_a_lock_that_says_nothing_stops_nothing(text: str) -> None:
    Path("dvc.lock").write_text(text)
    require_writable([Path("data/factors")])
