"""A user's mistake ends in one sentence and a status; a bug keeps its stack trace."""

import errno
import os
import signal
import subprocess
import sys

import pyarrow as pa
import pytest

from musicrec.errors import MusicRecError, UsageError
from musicrec.jit.parallel import thread_count
from musicrec.runtime import command


def run(error):
    @command
    def main():
        raise error

    return main()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MusicRecError("plays.csv: column count is missing"), "plays.csv: column count is missing"),
        (
            MusicRecError("ftp://ann:p@ss@host:21/a: no such file; cf. redis://:pw@h/1, a:b@c"),
            "ftp://ann:***@host:21/a: no such file; cf. redis://:***@h/1, a:b@c",
        ),
        (OSError(errno.ENOENT, "no", "x.npy"), "x.npy: no such file or folder"),
        (OSError(errno.ENOSPC, "No space", "out"), "cannot write out: No space; free some space"),
        (OSError(errno.EFBIG, "Too large", "out"), "cannot write out: Too large; raise the limit"),
        (OSError(errno.EMFILE, "Too many", "in"), "in cannot be opened: Too many; raise the limit"),
        (OSError(errno.EACCES, "Denied", "in"), "in cannot be opened: Denied"),
        (OSError(errno.EISDIR, "Is a directory", "x"), "x: Is a directory; remove"),
        (OSError(errno.EIO, "Input/output error", "disk"), "disk: Input/output error"),
        (OSError("no number"), "no number"),
        (MemoryError("8 GiB"), "not enough memory (8 GiB); free some, or take less data"),
        (RuntimeError("can't start new thread"), "the system allows no more threads"),
        (pa.ArrowInvalid("not Parquet.\nMore"), "Arrow cannot go on: not Parquet"),
        (ModuleNotFoundError("No module named 'annoy'"), "No module named 'annoy'; run make"),
        (KeyboardInterrupt(), "interrupted; no output is half written"),
        (UsageError("the name is empty"), "the name is empty"),
    ],
)
def test_one_sentence(error, sentence, capsys):
    assert run(error) == {KeyboardInterrupt: 130, UsageError: 2}.get(type(error), 1)
    said = capsys.readouterr().err
    assert said.startswith(f"error: {sentence}") and said.count("\n") == 1


def test_a_bug_keeps_its_stack_trace():
    with pytest.raises(ZeroDivisionError):
        run(ZeroDivisionError())


STAGE = """
if __name__ == "__main__":
    from musicrec.runtime import run_stage
    run_stage(__file__)
{imports}
import atexit, os, signal, sys, time
from pathlib import Path
from musicrec.errors import MusicRecError
from musicrec.runtime import signals_held
from musicrec.storage.outputs import atomic_directory, atomic_path, stage_arguments, output_file
def main():
    {work}
"""
SIGNALS = [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")]


def start(folder, work, imports="", *words):
    """Start a stage with a `main` of this line."""
    script = folder / "stage.py"
    script.write_text(STAGE.format(imports=imports, work=work))
    return subprocess.Popen(
        [sys.executable, script, *words],
        cwd=folder,
        env={**os.environ, "MUSICREC_CACHE": str(folder / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


WRITING = """
    with atomic_directory("folder") as folder, atomic_path("file") as file:
        (folder / "part").touch()
        print("ready", flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize(("number", "word"), [*SIGNALS, (signal.SIGHUP, "terminated")])
@pytest.mark.parametrize("amid", ["work", "imports"])
def test_a_signal_ends_in_a_sentence_and_leaves_nothing(number, word, amid, tmp_path):
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("under nohup, stages inherit that this signal is ignored")
    imports = "import time; print('ready', flush=True); time.sleep(60)" if amid == "imports" else ""
    process = start(tmp_path, WRITING, imports)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (
        128 + number,
        f"error: {word}; no output is half written\n",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["stage.py"]


# The first line of numba that runs gets the signal: an exception raised there was a crash.
AMID_NUMBA = """
    import numpy as np
    from musicrec.jit.kernel import kernel

    @kernel()
    def make(n):
        return np.zeros(n), (np.ones(n), np.ones(n, np.uint8))

    def amid(frame, event, argument):
        if event == "call" and f"{os.sep}numba{os.sep}" in frame.f_code.co_filename:
            sys.setprofile(None)
            signal.raise_signal(signal.SIGTERM)

    sys.setprofile(amid)
    make(3)
"""


@pytest.mark.parametrize(
    ("work", "imports", "status", "printed", "said"),
    [
        ("print('done')", "", 0, "done\n", ""),
        ("raise MusicRecError('no plays')", "", 1, "", "error: no plays\n"),
        (AMID_NUMBA, "", 143, "", "error: terminated; no output is half written\n"),
        # Its end takes a moment, in which a stage has written all it writes.
        ("atexit.register(signal.raise_signal, signal.SIGTERM)", "", 0, "", ""),
        (
            "\n    with signals_held():\n"
            "        signal.raise_signal(signal.SIGINT)\n"
            "        print('went on', flush=True)\n"
            "    print('never')",
            "",
            130,
            "went on\n",
            "error: interrupted; no output is half written\n",
        ),
        ("", "import absent", 1, "", "error: No module named 'absent'; run make setup\n"),
        ("", "raise MemoryError", 1, "", "error: not enough memory; free some, or take less data"),
        ("", "1 / 0", 1, "", "ZeroDivisionError: division by zero\n"),
    ],
)
def test_how_a_stage_ends(work, imports, status, printed, said, tmp_path):
    process = start(tmp_path, work or "print('never')", imports)
    out, found = process.communicate(timeout=120)
    assert (process.returncode, out) == (status, printed)
    assert found.endswith(said) if said[:4] == "Zero" else found.startswith(said)
    assert said or not found


@pytest.mark.parametrize(
    ("output", "status", "said"),
    [
        ("stage.py/out", 1, "is no folder that this user may write to"),
        ("stage.py", 2, "the file is written as .json"),
        ("", 2, "the name of the output is empty"),
    ],
)
def test_an_output_that_cannot_be_written_is_said_first(output, status, said, tmp_path):
    work = "stage_arguments('', metrics=output_file); print('the work began')"
    process = start(tmp_path, work, "", "--metrics", output)
    printed, found = process.communicate(timeout=30)
    assert (process.returncode, printed, found.count("\n")) == (status, "", 1)
    assert said in found


@pytest.mark.parametrize("threads", ["0", "-1", "two", "1.5"])
def test_a_bad_number_of_threads(threads, monkeypatch):
    monkeypatch.setenv("MUSICREC_THREADS", threads)
    with pytest.raises(MusicRecError, match="MUSICREC_THREADS"):
        thread_count()
    monkeypatch.setenv("MUSICREC_THREADS", "")  # empty is unset
    assert thread_count() >= 1
