"""The one place where a Spark session is made and ended."""

from __future__ import annotations

import logging
import os
import pwd
import socket
import subprocess
import sys
import threading
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musicrec.errors import MusicRecError, warn
from musicrec.runtime import cleaned_up, scratch_directory, signals_held
from musicrec.spark.java import find_java, java_of_home, reason_in, root_cause

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PACKAGE = Path(__file__).resolve().parents[1]
CONF = Path(__file__).parent / "conf"
JAVA = "-XX:+UseParallelGC -XX:-UsePerfData"
CONNECT_SECONDS = 5.0
ROOM_SECONDS = 15.0  # after which a person would like to know why nothing happens
END_SECONDS = 10.0  # for Java to take leave of a cluster and remove its files
# A Java that is running already, a server to connect to: of whoever started this process.
OTHER_SESSION = (
    *("PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET"),
    *("SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED", "SPARK_API_MODE"),
)
# Of another installation; on a cluster they may be meant.
OTHER_SPARK = ("SPARK_HOME", "PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON")
SETTINGS = {
    "spark.ui.showConsoleProgress": "false",
    "spark.hadoop.parquet.page.write-checksum.enabled": "true",
    "spark.hadoop.parquet.page.verify-checksum.enabled": "true",
}


@contextmanager
def spark_session(name: str) -> Iterator[SparkSession]:
    """Start Spark for a stage of this name, yield the session, stop it.

    Local by default (`local[*]`, memory from MUSICREC_SPARK_MEMORY or half of the machine's);
    MUSICREC_SPARK_MASTER names a cluster. Where and how wide Spark runs changes no output, so it
    is environment and not a parameter. What Java prints is kept for the sentence of a failure.

    Raises
    ------
    MusicRecError
        No Java of at least version 17 is found, Spark does not start, or Java stopped during the
        work.
    """
    master = os.environ.get("MUSICREC_SPARK_MASTER", "").strip() or "local[*]"
    local = master.startswith("local")
    _prepare_environment(local)
    if master.startswith("spark://"):
        _require_master(master)
    from py4j.protocol import Py4JError  # type: ignore[import-untyped]
    from pyspark import SparkConf

    # Plays travel as Arrow, whatever pandas the environment holds beside it.
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    logging.disable(logging.ERROR)  # the traces of py4j come before our sentence
    with scratch_directory("musicrec-spark-") as scratch, ExitStack() as stack:
        log = scratch / "java.log"
        settings = SETTINGS | (_local_settings(scratch) if local else {})
        conf = SparkConf().setAppName(f"musicrec {name}").setMaster(master)
        gateway, session = _start(conf.setAll(list(settings.items())), log, stack)
        hint = threading.Timer(ROOM_SECONDS, _warn_without_executor, [session])
        hint.daemon = True
        if not local:
            hint.start()
        try:
            yield session
        except (Py4JError, ConnectionError):
            if not _is_gone(gateway.proc):
                raise
            reason = reason_in(log) or "most often because memory ran out"
            raise MusicRecError(
                f"Java stopped during {name} ({reason}); free some memory, or set "
                "MUSICREC_SPARK_MEMORY (such as 8g) to what the machine has"
            ) from None
        finally:
            hint.cancel()
            with suppress(Py4JError, ConnectionError):  # Java may be gone
                session.stop()


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


def _is_gone(java: subprocess.Popen[bytes]) -> bool:
    with suppress(subprocess.TimeoutExpired):
        java.wait(1.0)
    return java.poll() is not None


def _prepare_environment(local: bool) -> None:
    """Set what Java and PySpark read from the environment of this process."""
    java = find_java()
    if "JAVA_HOME" in os.environ and java != java_of_home():
        del os.environ["JAVA_HOME"]  # unusable; without it Spark takes the one on PATH
    if os.environ.get("LC_ALL") in ("C", "POSIX"):  # Java could not open a file with an accent
        os.environ["LC_ALL"] = "C.UTF-8"
    for name in (*OTHER_SESSION, *(OTHER_SPARK if local else ())):
        os.environ.pop(name, None)
    os.environ.setdefault("SPARK_LAUNCHER_OPTS", "-XX:ErrorFile=/dev/null")
    if local:  # where the name of the host may not resolve
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        os.environ.setdefault("SPARK_LOCAL_HOSTNAME", "localhost")
        os.environ.setdefault("SPARK_CONF_DIR", str(CONF))


def _local_settings(scratch: Path) -> dict[str, str]:
    """Settings of a Java on this machine, which leaves nothing outside its scratch folder."""
    half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**21
    memory = os.environ.get("MUSICREC_SPARK_MEMORY", "").strip() or f"{max(1024, half)}m"
    options = {"java.io.tmpdir": scratch, "user.home": scratch}
    java = " ".join(f'"-D{name}={value}"' for name, value in options.items())
    return {
        "spark.driver.memory": memory,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraJavaOptions": f'{JAVA} {java} "-XX:ErrorFile={scratch}/crash.log"',
        "spark.local.dir": str(scratch),
        "spark.pyspark.python": sys.executable,
        "spark.ui.enabled": "false",
    }


def _start(conf: Any, log: Path, stack: ExitStack) -> tuple[Any, SparkSession]:
    """Start Java with its output in a file: PySpark's gateway to it, which `stack` ends."""
    from pyspark import SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    try:
        with signals_held(), log.open("wb") as output:  # until Java is known
            gateway = launch_gateway(conf, {"stdout": output, "stderr": output})
            stack.enter_context(cleaned_up(lambda: _end_java(gateway)))
        with signals_held():  # PySpark puts a handler of its own, which is taken back
            _name_user(gateway)
            context = SparkContext(conf=conf, gateway=gateway)
            session = SparkSession.builder.getOrCreate()
    except Exception as error:
        SparkContext._active_spark_context = None
        reason = root_cause(error)
        if "stopped SparkContext" in reason or not hasattr(error, "java_exception"):
            reason = reason_in(log) or reason  # what Java has said itself
        names = ("PYSPARK_SUBMIT_ARGS", "SPARK_HOME", "SPARK_CONF_DIR", "JAVA_TOOL_OPTIONS")
        there = [f"{name} = {os.environ[name]}" for name in names if os.environ.get(name)]
        check = ", ".join(["MUSICREC_SPARK_MASTER", "MUSICREC_SPARK_MEMORY", *there])
        master = conf.get("spark.master")
        raise MusicRecError(
            f"Spark could not start on {master} ({reason}); check {check}"
        ) from None
    named = os.environ.get("PYSPARK_PYTHON") or context.getConf().get("spark.pyspark.python")
    context._accumulatorServer.handle_error = lambda *_: None  # of a Java that dies: a trace
    context.pythonExec = named or sys.executable  # of executors; else the first `python3` there
    return gateway, session


def _name_user(gateway: Any) -> None:
    """Give Hadoop the user that it does not find where the system has no entry for it."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:  # as of `docker run --user`
        users = gateway.jvm.org.apache.hadoop.security.UserGroupInformation
        users.setLoginUser(users.createRemoteUser(os.environ.get("USER", str(os.getuid()))))


def _end_java(gateway: Any) -> None:
    """End Java, so that another session can start in this process."""
    from pyspark import SparkContext

    java: subprocess.Popen[bytes] = gateway.proc
    if java.poll() is None:
        java.terminate()
        try:
            java.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            java.kill()
            java.wait()
    gateway.shutdown()
    SparkContext._gateway = SparkContext._jvm = None


def _require_master(master: str) -> None:
    """Stop unless a master of `spark://host:port,host:port` answers; Spark tries for minutes."""
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.strip("/").rpartition(":")
        with suppress(OSError, ValueError):
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
            return
    raise MusicRecError(
        f"MUSICREC_SPARK_MASTER = {master}: no Spark master answers there; start it, or unset the "
        "variable to run on this machine"
    )


def _warn_without_executor(session: SparkSession) -> None:
    executors = session.sparkContext._jsc.sc().getExecutorMemoryStatus().size() - 1
    if executors < 1:
        warn(
            f"{session.sparkContext.master} has given no executor yet; it may lack workers, or "
            "their memory or cores may be less than Spark's configuration asks"
        )


def local_uri(path: str | os.PathLike[str]) -> str:
    """Name a local path for Spark, whose default file system may be a cluster's.

    Hadoop does not decode %20, so this is not `Path.as_uri`.
    """
    return f"file://{Path(path).absolute()}"
