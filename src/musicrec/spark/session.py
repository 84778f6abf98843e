"""The one place where a Spark session is made."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from musicrec.errors import MusicRecError
from musicrec.signals import signals_deferred
from musicrec.spark.java import find_java, java_of_home
from musicrec.spark.parts import PARTS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

QUICK_BYTES = 64 << 20  # below this much input, warming up takes longer than the work
QUICK_JAVA = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData"
LASTING_JAVA = "-XX:+UseParallelGC -XX:-UsePerfData"


@contextmanager
def spark_session(
    name: str, inputs: Iterable[str | os.PathLike[str]] | None = None
) -> Iterator[SparkSession]:
    """Start Spark, yield the session, stop it.

    Local by default (`local[*]`, memory from MUSICREC_SPARK_MEMORY or half of the machine's);
    MUSICREC_SPARK_MASTER names a cluster. Where and how wide Spark runs changes no output, so it
    is environment and not a parameter.

    Parameters
    ----------
    name : str
        The stage.
    inputs : iterable of paths, optional
        Local files and folders that all the work follows from. When these are small, a local
        Java compiles quickly rather than well: most of a short stage is Java warming up.

    Raises
    ------
    MusicRecError
        No Java of at least version 17 is found, or Java stopped during the work.
    """
    java = find_java()
    if "JAVA_HOME" in os.environ and java != java_of_home():
        del os.environ["JAVA_HOME"]  # unusable; without it Spark takes the one on PATH
    from py4j.protocol import Py4JNetworkError  # type: ignore[import-untyped]
    from pyspark.sql import SparkSession

    master = os.environ.get("MUSICREC_SPARK_MASTER", "local[*]")
    if master.startswith("local"):  # a cluster brings its own configuration
        os.environ.setdefault("SPARK_CONF_DIR", str(Path(__file__).parent / "conf"))
    builder = SparkSession.builder.appName(f"musicrec {name}").master(master)
    quick = inputs is not None and sum(map(_size, inputs)) < QUICK_BYTES
    for key, value in _settings(master, quick).items():
        builder = builder.config(key, value)
    session: SparkSession | None = None
    try:
        with signals_deferred():  # so that whoever interrupts the start can end Java too
            session = _start(builder, master)
        session.sparkContext.setLogLevel("ERROR")
        yield session
    except (Py4JNetworkError, ConnectionError):
        raise MusicRecError(
            f"Java stopped during {name}, most often because memory ran out; free some, or set "
            "MUSICREC_SPARK_MEMORY (such as 8g) to what the machine has"
        ) from None
    except Exception:
        if session is not None:
            session.stop()
        raise
    except BaseException:  # a signal during a call: Java would answer that call first
        if session is not None:
            _end(session.sparkContext._gateway.proc)
        raise
    else:
        session.stop()


def _start(builder: SparkSession.Builder, master: str) -> SparkSession:
    try:
        return builder.getOrCreate()
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise MusicRecError(
            f"Spark could not start on {master} ({reason}); check MUSICREC_SPARK_MASTER, "
            "MUSICREC_SPARK_MEMORY and Spark's own configuration"
        ) from None


def _end(java: subprocess.Popen[bytes]) -> None:
    """Let Java remove its temporary files, then see that it is gone and writes no more."""
    java.terminate()
    try:
        java.wait(timeout=20)
    except subprocess.TimeoutExpired:
        java.kill()
        java.wait()


def _settings(master: str, quick: bool) -> dict[str, str]:
    settings = {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.caseSensitive": "true",  # a source may have columns that differ in case alone
        "spark.sql.legacy.parquet.nanosAsLong": "true",  # which else Spark refuses to read
        "spark.sql.shuffle.partitions": str(PARTS),
        "spark.sql.adaptive.coalescePartitions.enabled": "false",
        "spark.sql.autoBroadcastJoinThreshold": "64m",  # id maps of a million, not plays, travel
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.ui.showConsoleProgress": "false",
    }
    if master.startswith("local"):
        settings |= {
            "spark.driver.memory": os.environ.get("MUSICREC_SPARK_MEMORY") or _half_of_memory(),
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.ui.enabled": "false",
            "spark.driver.extraJavaOptions": QUICK_JAVA if quick else LASTING_JAVA,
        }
    return settings


def _size(path: str | os.PathLike[str]) -> int:
    """Bytes of a file or of the files below a folder."""
    root = Path(path)
    files = root.rglob("*") if root.is_dir() else [root]
    return sum(file.stat().st_size for file in files if file.is_file())


def _half_of_memory() -> str:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{max(1024, total // 2**21)}m"
