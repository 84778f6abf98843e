"""What goes to the executors: users as rows of bytes, and this package."""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import Interactions
from musicrec.runtime import scratch_directory

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PACKAGE = Path(__file__).resolve().parents[1]


def packed(factors: np.ndarray, plays: Interactions) -> dict[str, pa.Array]:
    """Columns `factors` and `seen` of some users.

    Parameters
    ----------
    factors : float array (n, rank)
    plays : Interactions (n, n_items)
    """
    rows = [plays.row(i).tobytes() for i in range(plays.n_users)]
    vectors = [np.asarray(vector, np.float32).tobytes() for vector in factors]
    return {"factors": pa.array(vectors, pa.binary()), "seen": pa.array(rows, pa.binary())}


def unpacked(batch: pa.RecordBatch, n_items: int) -> tuple[np.ndarray, Interactions]:
    """Factors, float32 (n, rank), and plays of a batch's users; every count is 1."""
    factors = np.frombuffer(b"".join(batch.column("factors").to_pylist()), np.float32)
    seen = batch.column("seen").to_pylist()
    indices = np.frombuffer(b"".join(seen), np.int32)
    indptr = np.concatenate(([0], np.cumsum([len(row) // 4 for row in seen])))
    plays = Interactions(indptr, indices, np.ones(len(indices), np.float32), n_items)
    return factors.reshape(len(seen), -1), plays


def once_a_process(name: str, make: Callable[[], Any]) -> Any:
    """What `make` returns, kept for the tasks that follow under the same name.

    Spark runs a process, not a thread, on each core; a new name replaces what the last one left.
    """
    if name not in _MADE:
        _MADE.clear()
        _MADE[name] = make()
    return _MADE[name]


_MADE: dict[str, Any] = {}


def require_pandas(otherwise: str) -> None:
    """Stop where pandas is missing, which `mapInArrow` asks for and never uses."""
    if importlib.util.find_spec("pandas") is None:
        raise MusicRecError(
            f"Spark's mapInArrow wants pandas installed: pip install pandas, or {otherwise}"
        )


@contextmanager
def package_shipped(spark: SparkSession) -> Iterator[None]:
    """Let the Python of executors import `musicrec` as it is here, ahead of one they have.

    Spark unpacks the archive beside the files it gives to Python workers, which is the first
    folder on their path. What the package itself imports (numpy, numba, pyarrow) they must have:
    docs/cluster.md.
    """
    if spark.sparkContext.master.startswith("local["):  # executors are this process
        yield
        return
    with scratch_directory("musicrec-package-") as folder:
        archive = folder / f"{folder.name}.zip"  # a name of its own: Spark takes each once
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
            for source in sorted(PACKAGE.rglob("*.py")):
                target.write(source, source.relative_to(PACKAGE))
        spark.sparkContext.addArchive(f"{archive.as_uri()}#{PACKAGE.name}")
        yield
