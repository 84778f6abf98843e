"""Outputs appear whole or not at all, and only where nothing of a user's is overwritten."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from musicrec import runtime
from musicrec.errors import UsageError
from musicrec.runtime import OWNER, scratch_directory
from musicrec.storage.files import write_checksums, write_json
from musicrec.storage.outputs import (
    GENERATOR,
    atomic_directory,
    atomic_path,
    is_page,
    output_file,
    output_folder,
)
from musicrec.storage.parquet import has_columns, write_table


def write_folder(target: Path, content: str) -> None:
    """What a stage does: files, and their checksums."""
    with atomic_directory(target) as folder:
        for name in ("a", "b"):
            (folder / name).write_text(content)
        write_checksums(folder)


def write_file(target: Path, content: str) -> None:
    with atomic_path(target) as temporary:
        temporary.write_text(content)


def content(target: Path) -> str | None:
    """What a reader finds: the content, `damaged`, or None where there is nothing."""
    if target.is_dir():
        names = sorted(path.name for path in target.iterdir())
        texts = {(target / name).read_text() for name in names if name in ("a", "b")}
        return (
            texts.pop() if names == ["_checksums.json", "a", "b"] and len(texts) == 1 else "damaged"
        )
    return target.read_text() if target.exists() else None


def ended_at(step: int, number: int, write: Callable[[Path, str], None], target: Path) -> int:
    """Write in a process that gets a signal before its file-system step of this number."""
    pid = os.fork()
    if pid == 0:
        runtime._handle_signals()
        steps = iter(range(step))

        def count(event: str, _: tuple[object, ...]) -> None:
            of_files = event.startswith(("os.", "shutil.", "open")) and event != "os.kill"
            if of_files and next(steps, None) is None:
                os.kill(os.getpid(), number)

        runtime.OWNER = f"{os.getpid()}-{os.uname().nodename}"
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.addaudithook(count)
        try:
            write(target, "new")
            os._exit(0)
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("write", [write_folder, write_file])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_ended_at_every_step_a_reader_finds_the_old_or_the_new(tmp_path, write, number):
    seen = set()
    for step in range(200):
        target = tmp_path / str(step) / "out"
        write(target, "old")
        status = ended_at(step, number, write, target)
        if status == 0:
            break
        assert status == (-9 if number == signal.SIGKILL else 143)
        found = content(target)
        seen.add(found)
        if number == signal.SIGKILL:
            assert found in ("old", "new") or (found is None and write is write_folder)
            with pytest.raises(RuntimeError), atomic_path(target.with_name("other")):
                raise RuntimeError
            try:  # a next run that fails leaves the old or the new one as well
                with atomic_directory(target) if write is write_folder else atomic_path(target):
                    raise RuntimeError
            except RuntimeError:
                assert content(target) in ("old", "new")
            write(target, "newer")
            assert content(target) == "newer"
        else:
            assert found in ("old", "new")
        assert list(target.parent.iterdir()) == [target]
    assert status == 0 and step > 5
    assert seen >= {"old", "new"} if write is write_folder else {"old"}
    assert (None in seen) == (write is write_folder and number == signal.SIGKILL)


def test_what_another_machine_or_a_living_process_writes_stays(tmp_path):
    """A process with this one's number may have left a file too."""
    parent = os.getppid()
    node = os.uname().nodename
    theirs = [f".out.{parent}-{node}.abcdefgh", ".out.1-elsewhere.abcdefgh", ".out"]
    dead = [f".out.{OWNER}.abcdefgh", f".out.{2**22 + 1}-{node}.abcdefgh"]
    for name in (*theirs, *dead):
        (tmp_path / name).touch()
    write_file(tmp_path / "out", "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*theirs, "out"])


def test_scratch_of_the_dead_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / f"musicrec-{2**22 + 1}-{os.uname().nodename}.abcdefgh").mkdir()
    with scratch_directory("musicrec-") as folder, scratch_directory("musicrec-") as inner:
        assert set(tmp_path.iterdir()) == {folder, inner}
    assert list(tmp_path.iterdir()) == []


def test_a_copy_that_finds_no_room_names_where_it_goes(tmp_path):
    with pytest.raises(OSError) as raised, atomic_path(tmp_path / "new") as path:
        raise OSError(errno.ENOSPC, "full", "source", None, str(path))
    assert raised.value.filename == str(tmp_path / "new")
    with pytest.raises(OSError, match="no number"), atomic_path(tmp_path / "new"):
        raise OSError("no number")


@pytest.mark.parametrize("write", [write_folder, write_file])
def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path, write):
    write(tmp_path / "real", "old")
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link", "new")
    assert content(tmp_path / "real") == "old"
    assert content(tmp_path / "link") == "new" and not (tmp_path / "link").is_symlink()
    (tmp_path / "dangling").symlink_to("nowhere")
    write(tmp_path / "dangling", "new")
    assert content(tmp_path / "dangling") == "new"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "is empty"),
        (" ", "is empty"),
        ("s3://bucket/model", "written to this machine"),
        ("s3:/bucket/model", "written to this machine"),
        ("hdfs://host/model", "written to this machine"),
        ("~/model", "did not expand ~"),
    ],
)
def test_a_name_that_cannot_be_meant(name, said):
    for check in (output_file, output_folder):
        with pytest.raises(UsageError, match=said):
            check(name)


def test_an_output_of_another_kind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.file").touch()
    os.mkfifo("pipe")
    for name in ("model.zip", "model.csv", "a.file"):
        with pytest.raises(UsageError, match="a folder is"):
            output_folder(name)
    for name, ending, said in (
        ("lists.csv", ".parquet", r"end its name in \.parquet"),
        ("report.json", ".html", r"end its name in \.html"),
        (tmp_path, ".json", "is a folder"),
        ("pipe", ".json", "no regular file"),
        ("/dev/null", ".json", "no regular file"),
    ):
        with pytest.raises(UsageError, match=said):
            output_file(name, ending)
    for name in ("report.htm", "report", "report.v2"):
        assert output_file(name, ".html") == Path(name)


def test_the_working_folder_its_parents_and_repositories(tmp_path, monkeypatch):
    here = tmp_path / "project" / "below"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    (here / "link").symlink_to("..")
    for name in (".", "..", "../..", str(here), str(tmp_path), "/", "link", "../below"):
        with pytest.raises(UsageError, match="working folder or one above"):
            output_folder(name)
    for name in (".git", ".dvc"):
        (here / "clone" / name).mkdir(parents=True)
        with pytest.raises(UsageError, match="is a repository"):
            output_folder("clone")
        (here / "clone" / name).rmdir()


def listed(folder: Path) -> None:
    write_folder(folder, "x")


def nested(folder: Path) -> None:
    write_folder(folder / "train", "x")
    write_folder(folder / "test", "x")


def rows(folder: Path) -> None:
    write_json(folder / "rows.json", [{"k": 1, "map": 0.5}])


def bundle(folder: Path) -> None:
    folder.mkdir()
    (folder / "a.npy").touch()
    files = {"a.npy": {"bytes": 0, "sha256": "0" * 64}}
    (folder / "manifest.json").write_text(json.dumps({"format": 2, "files": files}))


@pytest.mark.parametrize("make", [Path.mkdir, listed, nested, rows, bundle])
def test_a_folder_of_ours_is_replaced_but_not_with_a_file_more(tmp_path, make):
    folder = tmp_path / "out"
    make(folder)
    assert output_folder(folder) == folder
    for foreign in ("notes.txt", ".env", "sub/plays.csv", "package.json", ".git/config"):
        path = folder / foreign
        path.parent.mkdir(exist_ok=True)
        path.write_text('{"b": 1, "a": 2}')
        with pytest.raises(UsageError), atomic_directory(folder):
            raise AssertionError("is not to be reached")
        assert path.exists()
        path.unlink()
        if path.parent != folder:
            path.parent.rmdir()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="was not written by musicrec"):
        output_folder(folder)


def test_a_file_of_ours_is_replaced_and_no_other(tmp_path):
    def page(path: Path) -> Path:
        return output_file(path, ".html", is_page)

    def table(path: Path) -> Path:
        return output_file(path, ".parquet", lambda path: has_columns(path, ["user_id", "k"]))

    ours = tmp_path / "ours"
    for check, write, foreign in (
        (output_file, lambda: write_json(ours, {"a": 0.5}), '{"b": 1, "a": 2}'),
        (output_file, lambda: write_json(ours, []), "[1,2]"),
        (page, lambda: ours.write_text(f"<html>{GENERATOR}"), "<html><body>mine"),
        (page, lambda: ours.write_text('<p class="eyebrow">musicrec report</p>'), "mine"),
        (table, lambda: write_table(ours, pa.table({"user_id": [1], "k": [2]})), "PAR1"),
    ):
        write()
        assert check(ours) == ours
        ours.write_text(foreign)
        with pytest.raises(UsageError, match="file was not written by musicrec"):
            check(ours)
        assert ours.read_text() == foreign
    write_table(ours, pa.table({"user_id": [1], "plays": [2]}))
    with pytest.raises(UsageError, match="file was not written by musicrec"):
        table(ours)
