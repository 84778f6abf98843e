"""Time `ingest` on clean plays: on Spark, or at an older revision, against the work tree.

    python benchmarks/ingest_speed.py --rows 3000000
    python benchmarks/ingest_speed.py --base main~20

Writes the same synthetic plays as Parquet, as tab-separated text and as text in quotes, then runs
the stage both ways by turns (A B A B), each in a process of its own, and prints seconds of wall
clock with their ratio, and whether both wrote the same bytes. An older revision is checked out as
a git worktree, and removed afterwards.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import yaml

ROOT = Path(__file__).resolve().parent.parent
TRACKS = 385_000
PLAYS_OF_A_USER = 45


def write_plays(folder: Path, rows: int) -> dict[str, Path]:
    """Write `rows` plays with ids as long as those of the Taste Profile, in each format."""
    rng = np.random.default_rng(0)
    users = np.arange(rows) // PLAYS_OF_A_USER
    # The tracks of a user: steps through the catalogue, so that none comes twice.
    tracks = (rng.integers(0, TRACKS, users[-1] + 1)[users] + 977 * np.arange(rows)) % TRACKS
    names = pa.array([f"{i * 2654435761 % 2**32:08x}" * 5 for i in range(users[-1] + 1)])
    songs = pa.array([f"SO{i * 2246822519 % 10**16:016d}" for i in range(TRACKS)])
    table = pa.table(
        {
            "user_id": names.take(pa.array(users)),
            "track_id": songs.take(pa.array(tracks)),
            "count": rng.geometric(0.4, rows),
        }
    )
    paths = {"parquet": folder / "plays.parquet"}
    pq.write_table(table, paths["parquet"])
    for form, separator, quoting in (("text", "\t", "none"), ("quoted text", ",", "all_valid")):
        paths[form] = folder / f"{form}.csv"
        options = pyarrow.csv.WriteOptions(delimiter=separator, quoting_style=quoting)
        pyarrow.csv.write_csv(table, paths[form], options)
    return paths


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


def seconds(code: Path, source: Path, scratch: Path, out: str, spark: bool) -> float:
    """Run the stage of one revision into a folder `out` and return its wall-clock time."""
    params = scratch / "params.yaml"
    params.write_text(yaml.safe_dump({"data": {"source": str(source), "protocol": "holdout"}}))
    words: list[str | Path]
    words = ["--params", params, "--output", scratch / out, "--metrics", scratch / "data.json"]
    if "--plots" in (code / "stages" / "ingest.py").read_text():  # not in the oldest revisions
        words += ["--plots", scratch / "plots"]
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, code / "stages" / "ingest.py", *words],
        env=os.environ
        | {"PYTHONPATH": str(code / "src"), "MUSICREC_SPARK_MASTER": "local[*]" if spark else ""},
        check=True,
    )
    return time.perf_counter() - start


def main() -> None:
    """Print one line a format."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--base", default="spark", help="`spark`, or an older revision")
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--repeats", type=int, default=2, help="times A B")
    args = parser.parse_args()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        spark = args.base == "spark"
        base = ROOT if spark else stack.enter_context(checked_out(args.base))
        for name, source in write_plays(scratch, args.rows).items():
            before, after = [], []
            for _ in range(args.repeats):
                before.append(seconds(base, source, scratch, "before", spark))
                after.append(seconds(ROOT, source, scratch, "after", False))
            difference = subprocess.run(
                ["diff", "-rq", scratch / "before", scratch / "after"], stdout=subprocess.DEVNULL
            )
            alike = "other bytes" if difference.returncode else "the same bytes"
            ratio = min(after) / min(before)
            print(
                f"{name}, {args.rows:,} rows: {args.base} "
                f"{', '.join(f'{value:.1f}' for value in before)} s; now "
                f"{', '.join(f'{value:.1f}' for value in after)} s; "
                f"ratio of the best {ratio:.2f}; {alike}",
                flush=True,
            )


if __name__ == "__main__":
    main()
