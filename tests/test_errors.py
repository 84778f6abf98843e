"""A user's mistake ends in one sentence and a status; a bug keeps its stack trace."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import pytest

from musicrec.command import command
from musicrec.errors import MusicRecError
from musicrec.signals import signals_deferred


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
        (FileNotFoundError(errno.ENOENT, "no", "x.npy"), 1, "x.npy: no such file or folder"),
        (
            OSError(errno.ENOSPC, "No space left on device", "out"),
            1,
            "cannot write out: No space left on device",
        ),
        (KeyboardInterrupt(), 130, "interrupted; no output was written"),
    ],
)
def test_one_sentence(
    error: BaseException, status: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(error) == status
    assert capsys.readouterr().err == f"error: {sentence}\n"


def test_a_bug_keeps_its_stack_trace() -> None:
    with pytest.raises(ZeroDivisionError):
        run(ZeroDivisionError())
    with pytest.raises(OSError, match="odd"):
        run(OSError(errno.EIO, "odd"))


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
