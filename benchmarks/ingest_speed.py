"""Time `ingest` on synthetic plays in many forms, at an older revision against the work tree.

    python benchmarks/ingest_speed.py --base main~20 --rows 5000000
    python benchmarks/ingest_speed.py --rows 50000000 --forms parquet
    python benchmarks/ingest_speed.py --rows 50000000 --forms log      # what times cost
    python benchmarks/ingest_speed.py --rows 500000000 --forms folder

Writes the same plays in each form, runs the stage of both revisions by turns, each in a process of
its own, and prints seconds of wall clock and of CPU, the most memory that the process and Java held
together, megabytes of plays written, and whether both wrote the same. `folder` is Parquet files of
10 M plays each. pandas, which only `make setup-dev` brings and Arrow imports where it is, is
hidden from both. Without `--base` the work tree alone runs. An older revision is checked out as a
git worktree, and removed afterwards.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import yaml

ROOT = Path(__file__).resolve().parent.parent
TRACKS = 385_000
PLAYS_OF_A_USER = 45
FILE_ROWS = 10_000_000  # of a file of the folder
BAD = ("u,t,-1", "u,t,1.5", ",t,1", "u,t,many", "u,t")
NO_PANDAS = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name == "pandas":
            raise ModuleNotFoundError(name=name)

sys.meta_path.insert(0, Hidden())
"""
ODD = '"a ""{0}""",t,3\n x{0} , y ,2\nu{0},t,3.0\nu{0},v,1e2\n'


class Form(NamedTuple):
    """A file, and parameters beside its source."""

    path: Path
    params: dict[str, object]


class Run(NamedTuple):
    """One run of the stage."""

    seconds: float
    cpu: float
    gigabytes: float
    written: float  # megabytes of plays
    status: int


def plays(rows: int, number: int = 0) -> pa.Table:
    """Make `rows` plays with ids as long as those of the Taste Profile; each number other users."""
    rng = np.random.default_rng(number)
    users = np.arange(rows) // PLAYS_OF_A_USER
    # The tracks of a user: steps through the catalogue, so that none comes twice.
    tracks = (rng.integers(0, TRACKS, users[-1] + 1)[users] + 977 * np.arange(rows)) % TRACKS
    first = number * (users[-1] + 1)
    names = pa.array([f"{(first + i) * 2654435761 % 2**32:08x}" * 5 for i in range(users[-1] + 1)])
    songs = pa.array([f"SO{i * 2246822519 % 10**16:016d}" for i in range(TRACKS)])
    columns = names.take(pa.array(users)), songs.take(pa.array(tracks))
    return pa.table([*columns, rng.geometric(0.4, rows)], names=["user_id", "track_id", "count"])


def write_forms(folder: Path, rows: int, wanted: list[str]) -> dict[str, Form]:
    """Write the plays in each form."""
    table = plays(rows if wanted != ["folder"] else 1)

    def text(name: str, separator: str = ",", quoting: str = "none") -> Path:
        path = folder / f"{name}.csv"
        options = pyarrow.csv.WriteOptions(delimiter=separator, quoting_style=quoting)
        pyarrow.csv.write_csv(table, path, options)
        return path

    def extended(name: str, more: str) -> Path:
        path = text(name)
        with path.open("a", encoding="utf-8") as stream:
            stream.write(more)
        return path

    def parquet() -> Path:
        pq.write_table(table, folder / "plays.parquet")
        return folder / "plays.parquet"

    def several() -> Path:
        (folder / "folder").mkdir()
        for number, first in enumerate(range(0, rows, FILE_ROWS)):
            part = plays(min(FILE_ROWS, rows - first), number)
            pq.write_table(part, folder / "folder" / f"{number:03d}.parquet")
        return folder / "folder"

    def json_lines() -> Path:
        path = folder / "plays.jsonl"
        with path.open("w", encoding="utf-8") as stream:
            for batch in table.to_batches(1 << 16):
                columns = (column.to_pylist() for column in batch.columns)
                stream.writelines(
                    f'{{"user_id": "{u}", "track_id": "{t}", "count": {c}}}\n'
                    for u, t, c in zip(*columns, strict=True)
                )
        return path

    def log() -> Path:
        path = folder / "log.parquet"
        if not path.exists():
            times = np.random.default_rng(1).integers(1_577_836_800, 1_609_459_200, rows)
            pq.write_table(table.drop_columns(["count"]).append_column("at", [times]), path)
        return path

    def few() -> Path:
        path = folder / "few.csv"
        path.write_text("user_id,track_id,count\n" + "".join(ODD.format(i) for i in range(25)))
        return path

    timed: dict[str, object] = {"columns": {"count": None, "timestamp": "at"}}
    temporal = timed | {"protocol": "temporal", "validation_from": 0.2, "test_from": 0.1}
    bad = "".join(f"{row}\n" for row in BAD * 2)
    makers = {
        "text": lambda: Form(text("text", "\t"), {}),
        "parquet": lambda: Form(parquet(), {}),
        "folder": lambda: Form(several(), {}),
        "quoted": lambda: Form(text("quoted", quoting="all_valid"), {}),
        "doubled": lambda: Form(extended("doubled", '"a ""b""",t,3\n'), {}),
        "bad, drop": lambda: Form(extended("drop", bad), {"on_bad_rows": "drop"}),
        "bad, error": lambda: Form(extended("error", bad), {}),
        "json": lambda: Form(json_lines(), {}),
        "log, no times": lambda: Form(log(), {"columns": {"count": None}}),
        "log, holdout": lambda: Form(log(), timed),
        "log, temporal": lambda: Form(log(), temporal),
        "hundred odd lines": lambda: Form(few(), {"validation_users": 0.3, "test_users": 0.3}),
    }
    chosen = [name for name in makers if not wanted or {name, name.split(",")[0]} & set(wanted)]
    return {name: makers[name]() for name in chosen}


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """Yield a worktree of another revision."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "base"
        subprocess.run(
            ["git", "worktree", "add", "--quiet", "--detach", path, revision], cwd=ROOT, check=True
        )
        try:
            yield path
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", path], cwd=ROOT, check=True)


def run(code: Path, form: Form, scratch: Path, out: str) -> Run:
    """Run the stage of one revision into a folder `out`."""
    params = scratch / "params.yaml"
    data = {"source": str(form.path), "protocol": "holdout", **form.params}
    params.write_text(yaml.safe_dump({"data": data}))
    words: list[str | Path] = ["--params", params, "--output", scratch / out]
    words += ["--metrics", scratch / "data.json", "--plots", scratch / "plots"]
    (scratch / "sitecustomize.py").write_text(NO_PANDAS)
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, code / "stages" / "ingest.py", *words],
        env=os.environ | {"PYTHONPATH": f"{code / 'src'}:{scratch}"},
        stderr=subprocess.DEVNULL,
    )
    together = threading.Thread(target=watch, args=(process.pid, held := [0]))
    together.start()
    _, status, usage = os.wait4(process.pid, 0)
    together.join()
    seconds = time.perf_counter() - start
    cpu = usage.ru_utime + usage.ru_stime
    written = sum(path.stat().st_size for path in (scratch / out).rglob("*.parquet")) / 1e6
    most = max(held[0] / 2**30, usage.ru_maxrss / 2**20)
    return Run(seconds, cpu, most, written, os.waitstatus_to_exitcode(status))


def watch(process: int, held: list[int]) -> None:
    """Keep the most bytes that a process and its children hold together, until it ends."""
    while True:
        try:
            family = [parent := psutil.Process(process), *parent.children(recursive=True)]
            now = sum(one.memory_info().rss for one in family)
        except psutil.NoSuchProcess:
            return
        held[0] = max(held[0], now)
        time.sleep(0.2)


def rows_of(folder: Path) -> tuple[int, int]:
    """Rows and sum of counts of all splits."""
    tables = [pq.read_table(path, columns=["count"]) for path in folder.rglob("*.parquet")]
    return sum(t.num_rows for t in tables), sum(t["count"].to_numpy().sum() for t in tables)


def main() -> None:
    """Print one line a form."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--base", help="an older revision")
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--repeats", type=int, default=1, help="times A B")
    parser.add_argument("--forms", nargs="*", default=[], help="such as: parquet log")
    args = parser.parse_args()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        base = stack.enter_context(checked_out(args.base)) if args.base else None
        # In a process of its own: what is measured of a child begins with the size of its parent.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            forms = pool.submit(write_forms, scratch, args.rows, args.forms).result()
        for name, form in forms.items():
            found: dict[str, list[Run]] = {"before": [], "now": []}
            for _ in range(args.repeats):
                for which, code in (("before", base), ("now", ROOT)):
                    if code is not None:
                        found[which].append(run(code, form, scratch, which))
            said = [
                f"{which} {min(one.seconds for one in runs):.1f} s, "
                f"{min(one.cpu for one in runs):.1f} of CPU, "
                f"{max(one.gigabytes for one in runs):.1f} GB, {runs[0].written:,.0f} MB written, "
                f"exit {runs[0].status}"
                for which, runs in found.items()
                if runs
            ]
            if base is not None and found["now"][0].status == 0:
                same = rows_of(scratch / "before") == rows_of(scratch / "now")
                said.append("the same plays" if same else "OTHER PLAYS")
            print(f"{name}: {'; '.join(said)}", flush=True)


if __name__ == "__main__":
    main()
