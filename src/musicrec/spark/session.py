"""The one place where a Spark session is made."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from musicrec.errors import MusicRecError, command, signals_deferred
from musicrec.parallel import for_blocks

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

MIN_JAVA = 17
PLAYS_SCHEMA = "user_id string, track_id string, count bigint"
QUICK_BYTES = 64 << 20  # below this much input, warming up takes longer than the work
QUICK_JAVA = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData"
LASTING_JAVA = "-XX:+UseParallelGC -XX:-UsePerfData"
PARTS = 8  # files of every Parquet output: pinned, so that bytes do not follow the core count


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
        No Java of at least version 17 is found, or Java stopped in the midst of the work.
    """
    java = find_java()
    if "JAVA_HOME" in os.environ and java != _java_of_home():
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
            f"Java stopped during {name}, most often for want of memory; free some, or set "
            "MUSICREC_SPARK_MEMORY (such as 8g) to what the machine has"
        ) from None
    except Exception:
        if session is not None:
            session.stop()
        raise
    except BaseException:  # a signal in the midst of a call: Java would answer that call first
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


def find_java() -> Path:
    """Find a `java` of at least version 17: that of JAVA_HOME first, then the one on PATH.

    Raises
    ------
    MusicRecError
        There is none; the sentence says what was found and what to install.
    """
    on_path = shutil.which("java")
    found = []
    for java in (_java_of_home(), Path(on_path) if on_path else None):
        version = java_version(java) if java else None
        if java and version is not None and version >= MIN_JAVA:
            return java
        if java:
            found.append(f"{java} is " + (f"version {version}" if version else "no working Java"))
    what = "; ".join(found) if found else "none was found in JAVA_HOME or on PATH"
    raise MusicRecError(
        f"Spark needs Java {MIN_JAVA} or newer, but {what}; install one (Debian, Ubuntu: "
        "apt install openjdk-17-jre-headless; macOS: brew install openjdk@17) or set JAVA_HOME"
    )


def _java_of_home() -> Path | None:
    home = os.environ.get("JAVA_HOME")
    return Path(home) / "bin" / "java" if home else None


def java_version(java: Path) -> int | None:
    """Major version that `java -version` prints; None where it cannot be run."""
    try:
        run = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', run.stderr + run.stdout)
    return int(match[1]) if match else None


def read_parts(
    spark: SparkSession, path: str | os.PathLike[str], schema: str = PLAYS_SCHEMA
) -> DataFrame:
    """Read Parquet files this pipeline wrote; a schema spares Spark a job that infers it.

    Raises
    ------
    MusicRecError
        The path does not exist or holds no Parquet file.
    """
    from musicrec.files import parquet_parts  # here, as the set-up runs this module without Arrow

    parquet_parts(path)
    return spark.read.schema(schema).parquet(local_uri(path))


def write_parts(
    frame: DataFrame, folder: Path, partition_by: str, sort_by: list[str], parts: int = PARTS
) -> None:
    """Write a frame as `part-00000.parquet` …, the same bytes for the same rows.

    Rows go to a part by hash of `partition_by` and are sorted there by `sort_by`, a unique key;
    the number of parts is pinned. Spark's files, whose names and bytes differ from run to run, are
    rewritten one by one; its markers and checksums are removed.

    Parameters
    ----------
    folder : Path
        Must be empty or not exist; give that of `files.atomic_directory` or a folder inside.
    """
    scratch = folder / "spark"
    rows = frame.repartition(parts, partition_by).sortWithinPartitions(*sort_by)
    rows.write.option("compression", "snappy").parquet(local_uri(scratch))
    rewrite_parts(scratch, folder)
    shutil.rmtree(scratch)


def rewrite_parts(scratch: Path, folder: Path) -> None:
    """Rewrite the part files Spark wrote to `scratch` as `part-00000.parquet` … in `folder`."""
    from musicrec.files import rewrite_table

    written = sorted(scratch.glob("part-*.parquet"))

    def rewrite(start: int, stop: int) -> None:
        for path in written[start:stop]:
            rewrite_table(path, folder / f"{path.name[:10]}.parquet")

    for_blocks(rewrite, list(range(len(written) + 1)))


def local_uri(path: str | os.PathLike[str]) -> str:
    """Name a local path for Spark, whose default file system may be a cluster's.

    Hadoop does not decode %20, so this is not `Path.as_uri`.
    """
    return f"file://{Path(path).absolute()}"


if __name__ == "__main__":  # used by the set-up before there is an environment
    sys.exit(command(lambda: print(find_java()))())
