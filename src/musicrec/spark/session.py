"""The one place where a Spark session is made."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from musicrec.errors import MusicRecError
from musicrec.runtime import cleaned_up, scratch_directory, signals_held
from musicrec.spark.class_archive import archive_options, quoted
from musicrec.spark.failures import root_cause
from musicrec.spark.java import find_java, java_of_home
from musicrec.spark.java_output import JavaOutput
from musicrec.spark.masters import require_master, room_watched
from musicrec.spark.surroundings import blamed, leave_other_spark, python_of_executors
from musicrec.storage.parquet import PARTS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

QUICK_BYTES = 64 << 20  # below this much input, warming up takes longer than the work
QUICK_JAVA = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData"
LASTING_JAVA = "-XX:+UseParallelGC -XX:-UsePerfData"
# Java takes no class archive beside a folder of configuration, so this one does not exist.
LOGGING = Path(__file__).parent / "conf" / "log4j2.properties"
NO_CONFIGURATION = Path(__file__).parent / "conf" / "none"
END_SECONDS = 300  # for Java to write its class archive; a few are enough on an idle machine
INTERRUPTED_SECONDS = 3  # for Java to take leave of a cluster; a driver that is gone it notices
SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.caseSensitive": "true",  # a source may have columns that differ in case alone
    "spark.sql.legacy.parquet.nanosAsLong": "true",  # which else Spark refuses to read
    "spark.sql.shuffle.partitions": str(PARTS),
    "spark.sql.adaptive.coalescePartitions.enabled": "false",
    "spark.sql.autoBroadcastJoinThreshold": "64m",  # id maps of a million, not plays, travel
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.ui.showConsoleProgress": "false",
    "spark.hadoop.parquet.page.write-checksum.enabled": "true",
    "spark.hadoop.parquet.page.verify-checksum.enabled": "true",
}


@contextmanager
def spark_session(
    name: str,
    inputs: Iterable[str | os.PathLike[str]] | None = None,
    record: Path | None = None,
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
        Java compiles quickly rather than well and plans once: most of a short stage is Java
        warming up.
    record : Path, optional
        Where a local Java shall leave a class archive when it ends.

    Raises
    ------
    MusicRecError
        No Java of at least version 17 is found, the environment is of another Spark, or Java
        stopped during the work.
    """
    java = find_java()
    if "JAVA_HOME" in os.environ and java != java_of_home():
        del os.environ["JAVA_HOME"]  # unusable; without it Spark takes the one on PATH
    if os.environ.get("LC_ALL") in ("C", "POSIX"):  # Java could not open a file with an accent
        os.environ["LC_ALL"] = "C.UTF-8"
    master = os.environ.get("MUSICREC_SPARK_MASTER", "").strip() or "local[*]"
    leave_other_spark(master)
    with ExitStack() as stack:
        settings, ours = SETTINGS, False
        if master.startswith("local"):  # a cluster brings its own configuration
            quick = inputs is not None and sum(map(_size, inputs)) < QUICK_BYTES
            folder = stack.enter_context(scratch_directory("musicrec-spark-"))
            settings = SETTINGS | _local_settings(folder, quick, archive_options(java, record))
            ours = record is None and "SPARK_LOCAL_DIRS" not in os.environ
        yield from _running(name, master, settings, at_once=ours)


def _running(
    name: str, master: str, settings: dict[str, str], *, at_once: bool
) -> Iterator[SparkSession]:
    """Yield a session and see to its end, at once where Java leaves nothing behind."""
    # Plays travel as Arrow, whatever pandas the environment holds beside it.
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    logging.getLogger("py4j").setLevel(logging.CRITICAL)  # its traces come before our sentence
    from py4j.protocol import Py4JNetworkError  # type: ignore[import-untyped]
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName(f"musicrec {name}").master(master).config(map=settings)
    session: SparkSession | None = None
    try:
        with signals_held():  # so that a signal during the start ends Java too
            session = _start(builder, master, settings.get("spark.local.dir"))
        java = session.sparkContext._gateway.proc
        session.sparkContext.setLogLevel("ERROR")
        session.sparkContext.pythonExec = python_of_executors(session)
        with cleaned_up(lambda: _kill(java)), room_watched(session):
            yield session
    except (Py4JNetworkError, ConnectionError):
        raise MusicRecError(
            f"Java stopped during {name}, most often because memory ran out; free some, or set "
            "MUSICREC_SPARK_MEMORY (such as 8g) to what the machine has"
        ) from None
    except BaseException as error:
        if session is not None:
            # After a signal during a call, Java would answer that call before it stops.
            _stop(session, at_once=at_once, ask=isinstance(error, Exception))
        raise
    else:
        _stop(session, at_once=at_once, ask=True)


def _start(builder: SparkSession.Builder, master: str, scratch: str | None) -> SparkSession:
    output = JavaOutput()
    os.environ.setdefault("SPARK_LAUNCHER_OPTS", "-XX:ErrorFile=/dev/null")
    if master.startswith("spark://"):
        require_master(master)
    try:
        with output.held(), _without_its_handler(), _temporaries_in(scratch):
            return builder.getOrCreate()
    except Exception as error:
        asked = hasattr(error, "java_exception")  # Java runs, and has said no
        reason = root_cause(error)
        if not asked or "stopped SparkContext" in reason:  # that is not why
            reason = output.reason() or reason
        _forget_java()
        raise MusicRecError(
            f"Spark could not start on {master} ({reason}); check {blamed()} and Spark's own "
            "configuration"
        ) from None


@contextmanager
def _without_its_handler() -> Iterator[None]:
    """Keep PySpark from handling ctrl-C, by a call to Java amid another."""
    from pyspark.core import context

    context.signal = SimpleNamespace(signal=lambda *_: None, SIGINT=signal.SIGINT)
    try:
        yield
    finally:
        context.signal = signal


@contextmanager
def _temporaries_in(folder: str | None) -> Iterator[None]:
    """Let PySpark make its temporary folder where a killed stage's is swept, if there is such."""
    before = tempfile.tempdir
    tempfile.tempdir = folder or before
    try:
        yield
    finally:
        tempfile.tempdir = before


def _forget_java() -> None:
    """End the Java of a session that did not start, which would live as long as this process."""
    from pyspark import SparkContext

    gateway = SparkContext._gateway
    java = getattr(gateway, "proc", None)
    if java is not None:
        gateway.shutdown()
        java.kill()
        java.wait()
    SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None


def _stop(session: SparkSession, *, at_once: bool, ask: bool) -> None:
    java: subprocess.Popen[bytes] | None = session.sparkContext._gateway.proc
    if java is None:  # someone else's
        session.stop()
    elif at_once:
        _forget(session)
        java.kill()
        java.wait()
    elif not ask:
        java.terminate()
        _wait(java, INTERRUPTED_SECONDS)
    else:
        session.stop()
        if java.stdin is not None:
            java.stdin.close()  # what Java waits for, to end
        _wait(java, END_SECONDS)
        _forget(session)


def _kill(java: subprocess.Popen[bytes] | None) -> None:
    if java is not None:
        java.kill()
        java.wait()


def _wait(java: subprocess.Popen[bytes], seconds: float) -> None:
    """Let Java remove its temporary files, then see that it is gone and writes no more."""
    try:
        java.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        java.kill()
        java.wait()


def _forget(session: SparkSession) -> None:
    """Do the part of `session.stop()` that needs no Java, so that another session can start."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession
    from pyspark.sql.context import SQLContext

    context = session.sparkContext
    client = context._gateway._gateway_client
    client.is_connected = False  # Python's garbage collector tells Java of every object it frees,
    time.sleep(0.01)  # from a thread of its own, whose last word would fail with a stack trace
    context._jsc = None
    server = context._accumulatorServer
    if server is not None:
        server.handle_error = lambda *_: None  # of a connection that ends with Java
        # Off this thread, since it waits half a second for nothing.
        threading.Thread(target=server.shutdown, daemon=True).start()
        context._accumulatorServer = None
    context.stop()
    SparkContext._gateway = SparkContext._jvm = None
    SparkSession._instantiatedSession = SparkSession._activeSession = None
    SQLContext._instantiatedContext = None


def _local_settings(scratch: Path, quick: bool, archive: str) -> dict[str, str]:
    """Settings of a Java on this machine, which leaves nothing outside its scratch folder."""
    java = f"{QUICK_JAVA if quick else LASTING_JAVA} {archive}"
    java += f" -Djava.io.tmpdir={quoted(scratch)} -XX:ErrorFile={quoted(scratch / 'crash.log')}"
    if os.environ.setdefault("SPARK_CONF_DIR", str(NO_CONFIGURATION)) == str(NO_CONFIGURATION):
        java += f" -Dlog4j2.configurationFile={LOGGING.as_uri()}"
    return {
        "spark.driver.memory": _memory(),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraJavaOptions": java,
        "spark.local.dir": str(scratch),
        "spark.sql.adaptive.enabled": str(not quick).lower(),
        "spark.ui.enabled": "false",
    }


def _size(path: str | os.PathLike[str]) -> int:
    """Bytes of a file or of the files below a folder."""
    root = Path(path)
    files = root.rglob("*") if root.is_dir() else [root]
    return sum(file.stat().st_size for file in files if file.is_file())


def _memory() -> str:
    """Java's memory, as Spark writes it: MUSICREC_SPARK_MEMORY, or half of the machine's.

    Raises
    ------
    MusicRecError
        The variable is no size, or one that Spark cannot start with.
    """
    text = os.environ.get("MUSICREC_SPARK_MEMORY", "").strip()
    if not text:
        return _half_of_memory()
    match = re.fullmatch(r"([0-9]{1,9})([kmgt]?)b?", text.lower())
    if match is None:
        raise MusicRecError(f"MUSICREC_SPARK_MEMORY = {text!r} is no size of memory, such as 8g")
    if int(match[1]) * {"k": 1 / 1024, "": 1, "m": 1, "g": 1 << 10, "t": 1 << 20}[match[2]] < 500:
        raise MusicRecError(f"MUSICREC_SPARK_MEMORY = {text!r} is less than the 500m Spark needs")
    return text


def _half_of_memory() -> str:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{max(1024, total // 2**21)}m"
