"""A user's mistake ends in one sentence and a status; a bug keeps its stack trace."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from musicrec.command import command, run_stage
from musicrec.errors import MusicRecError
from musicrec.process.signals import signals_deferred


def run(error: BaseException | None) -> int:
    @command
    def main() -> None:
        if error is not None:
            raise error

    return main()


def test_success_is_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(None) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (
            MusicRecError("plays.csv: column count is missing"),
            1,
            "plays.csv: column count is missing",
        ),
        (
            MusicRecError("ftp://ann:p@ss@host:21/a: no such file; cf. redis://:pw@h/1, a:b@c"),
            1,
            "ftp://ann:***@host:21/a: no such file; cf. redis://:***@h/1, a:b@c",
        ),
        (FileNotFoundError(errno.ENOENT, "no", "x.npy"), 1, "x.npy: no such file or folder"),
        (
            OSError(errno.ENOSPC, "No space left on device", "out"),
            1,
            "cannot write out: No space left on device; free some space",
        ),
        (
            OSError(errno.EFBIG, "File too large", "out"),
            1,
            "cannot write out: File too large; raise the limit (ulimit -f)",
        ),
        (
            OSError(errno.EMFILE, "Too many open files", "in"),
            1,
            "in cannot be opened: Too many open files; raise the limit (ulimit -n)",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "in"),
            1,
            "in cannot be opened: Permission denied",
        ),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "x"), 1, "x: Is a directory; remove"),
        (OSError(errno.EIO, "Input/output error", "disk"), 1, "disk: Input/output error"),
        (OSError("no number"), 1, "no number"),
        (MemoryError("8 GiB"), 1, "not enough memory (8 GiB); free some, or take less data"),
        (RuntimeError("can't start new thread"), 1, "the system allows no more threads"),
        (pa.ArrowInvalid("not Parquet.\nMore"), 1, "Arrow cannot go on: not Parquet"),
        (ModuleNotFoundError("No module named 'annoy'"), 1, "No module named 'annoy'; run make"),
        (KeyboardInterrupt(), 130, "interrupted; no output was written"),
    ],
)
def test_one_sentence(
    error: BaseException, status: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(error) == status
    said = capsys.readouterr().err
    assert said.startswith(f"error: {sentence}") and said.count("\n") == 1


def test_a_bug_keeps_its_stack_trace() -> None:
    with pytest.raises(ZeroDivisionError):
        run(ZeroDivisionError())


def test_sigterm_unwinds_and_says_so() -> None:
    code = (
        "import sys, time\n"
        "from musicrec.command import command\n"
        "@command\n"
        "def main():\n"
        "    try:\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(60)\n"
        "    finally:\n"
        "        print('cleaned', flush=True)\n"
        "sys.exit(main())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (
        143,
        "cleaned\n",
        "error: terminated; no output was written\n",
    )


def test_a_deferred_signal_arrives_after_the_block() -> None:
    steps = []
    with pytest.raises(KeyboardInterrupt):
        with signals_deferred():
            signal.raise_signal(signal.SIGINT)
            steps.append("the block went on")
        steps.append("never")
    assert steps == ["the block went on"]


def test_a_signal_that_compiled_code_turned_into_another_error_is_named() -> None:
    @command
    def main() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except BaseException as error:
            raise SystemError("returned a result with an exception set") from error

    assert main() == 143


# A kernel whose result is boxed for the first time, while signals rain: an exception raised
# within numba was a segmentation fault.
BOXED_IN_THE_RAIN = """
import os, signal, sys, threading
import numpy as np
from musicrec.command import command, run_stage
from musicrec.jit.kernel import kernel

@kernel()
def make(n):
    return np.zeros(n), np.zeros(n, np.int32), (np.ones(n), np.ones(n, np.uint8))

@command
def main():
    print("ready", flush=True)
    for n in range(1000000):
        make(n % 7)

def amid(frame, event, argument):
    if event == "call" and f"{os.sep}numba{os.sep}" in frame.f_code.co_filename:
        sys.setprofile(None)
        signal.raise_signal(signal.SIGTERM)
sys.setprofile(amid)
sys.exit(main())
"""


def test_a_signal_amid_numba_waits_and_is_not_lost(tmp_path: Path) -> None:
    """The first line of numba that runs gets SIGTERM; the command ends by it all the same."""
    script = tmp_path / "rain.py"
    script.write_text(BOXED_IN_THE_RAIN)
    done = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "MUSICREC_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 143, done.stderr
    assert done.stderr == "error: terminated; no output was written\n"


def test_a_second_signal_does_not_disturb_the_cleaning_up() -> None:
    steps = []

    @command
    def main() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            steps.append("cleaned")

    assert main() == 143
    assert steps == ["cleaned"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_imports_is_one_sentence(sent: signal.Signals) -> None:
    code = "import musicrec.process.early, signal\nprint('importing', flush=True)\nsignal.pause()\n"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(sent)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + sent
    assert err.endswith("; no output was written\n") and err.count("\n") == 1


def test_a_stage_ends_with_the_dvc_that_started_it(tmp_path: Path) -> None:
    """A parent that is killed, with a shell between it and the stage."""
    script = tmp_path / "stage.py"
    script.write_text(
        "import sys, signal\n"
        "from musicrec.command import run_stage\n"
        "def main():\n"
        "    print('ready', flush=True)\n"
        "    signal.pause()\n"
        "sys.exit(run_stage(main))\n"
    )
    python = shlex.quote(sys.executable)
    code = (
        "import subprocess, sys\n"
        f"command = {f'true; {python} {shlex.quote(str(script))}; true'!r}\n"
        "subprocess.run(['/bin/sh', '-c', command])\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "DVC_STAGE": "train"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None and parent.stderr is not None
    assert parent.stdout.readline() == "ready\n"
    parent.kill()
    # Ends when the stage, which holds the other end of the pipe, does.
    assert parent.stderr.read() == "error: terminated; no output was written\n"
    parent.wait()
    parent.stdout.close()
    parent.stderr.close()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--output", "{folder}/file/out"], "is a file, not a folder"),
        (["--metrics", "/proc/out.json"], "cannot write /proc/out.json: "),
    ],
)
def test_an_output_that_cannot_be_written_is_said_first(
    words: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("musicrec.command.all_done", lambda: None)
    monkeypatch.setattr(sys, "argv", ["stage", *(w.format(folder=tmp_path) for w in words)])

    def main() -> None:
        raise AssertionError("the work began")

    assert run_stage(main) == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("threads", ["0", "-1", "two", "1.5"])
def test_a_bad_number_of_threads_is_said_first(
    threads: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUSICREC_THREADS", threads)
    monkeypatch.setattr("musicrec.command.all_done", lambda: None)
    monkeypatch.setattr(sys, "argv", ["stage"])
    assert run_stage(lambda: None) == 1
    assert "MUSICREC_THREADS" in capsys.readouterr().err
    monkeypatch.setenv("MUSICREC_THREADS", "")  # empty is unset
    assert run_stage(lambda: None) == 0


def test_a_signal_after_the_work_changes_nothing(tmp_path: Path) -> None:
    """The interpreter's end takes a moment, in which a stage has written all it writes."""
    code = (
        "import musicrec.process.early, atexit, signal, sys\n"
        "from musicrec.command import run_stage\n"
        "atexit.register(signal.raise_signal, signal.SIGTERM)\n"
        "sys.exit(run_stage(lambda: None))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("work", "status", "printed", "said"),
    [
        ("pass", 0, "work handler", ""),
        ("raise MusicRecError('no plays')", 1, "work handler", "error: no plays"),
        ("raise KeyError('a bug')", 1, "work handler taken-down", "KeyError: 'a bug'"),
    ],
)
def test_a_stage_ends_at_once_after_its_exit_handlers(
    work: str, status: int, printed: str, said: str
) -> None:
    """With its status and all its words, but without freeing what the system frees."""
    code = (
        "import musicrec.process.early, atexit, sys\n"
        "from musicrec.command import run_stage\n"
        "from musicrec.errors import MusicRecError\n"
        "class Late:\n"
        "    def __del__(self): print('taken-down')\n"
        "late = Late()\n"
        "atexit.register(print, 'handler')\n"
        "def main():\n"
        "    print('work')\n"
        f"    {work}\n"
        "sys.exit(run_stage(main))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (status, printed.split())
    assert done.stderr.strip().splitlines()[-1:] == ([said] if said else [])
