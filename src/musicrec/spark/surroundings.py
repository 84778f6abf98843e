"""What another installation of Spark left in the environment, and what becomes of it here."""

from __future__ import annotations

import os
import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from musicrec.errors import MusicRecError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# A Java that is running already, or a server to connect to: of whoever started this process.
OF_ANOTHER_SESSION = (
    *("PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET"),
    *("SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED", "SPARK_API_MODE"),
)
OF_ANOTHER_PYTHON = ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON", "PYSPARK_DRIVER_PYTHON_OPTS")


def leave_other_spark(master: str) -> None:
    """Keep the settings of another installation from reaching the session on `master`.

    On one machine PySpark brings a whole Spark and this Python runs its workers, so a SPARK_HOME
    of another version and another Python are removed from the environment. On a cluster they may
    be meant, so a SPARK_HOME that PySpark cannot talk to is an error.

    Raises
    ------
    MusicRecError
        SPARK_HOME is of another version and `master` is a cluster, or PYSPARK_SUBMIT_ARGS is no
        setting of a session in Python.
    """
    local = master.startswith("local")
    for name in (*OF_ANOTHER_SESSION, *(OF_ANOTHER_PYTHON if local else ())):
        os.environ.pop(name, None)
    home = os.environ.get("SPARK_HOME")
    if home is not None and not _is_of_pyspark(Path(home)):
        if not local:
            from pyspark import __version__

            raise MusicRecError(
                f"SPARK_HOME = {home} holds no Spark {__version__}, the version of the installed "
                "PySpark; name one that does, or unset it"
            )
        del os.environ["SPARK_HOME"]
    _check_arguments(os.environ.get("PYSPARK_SUBMIT_ARGS"), local=local)


def python_of_executors(session: SparkSession) -> str:
    """Say which Python executors run: on a cluster the one that is named, else this one.

    It is named by PYSPARK_PYTHON or `spark.pyspark.python`. PySpark alone would take the first
    `python3` on PATH, whatever that has installed.
    """
    if re.match(r"local(\[|$)", session.sparkContext.master):
        return sys.executable
    configured = session.sparkContext.getConf().get("spark.pyspark.python")
    return os.environ.get("PYSPARK_PYTHON") or configured or sys.executable


def blamed() -> str:
    """Say which variables may keep Spark from starting: for the sentence after it did not."""
    names = ["MUSICREC_SPARK_MASTER", "MUSICREC_SPARK_MEMORY"]
    more = ("PYSPARK_SUBMIT_ARGS", "SPARK_HOME", "JAVA_TOOL_OPTIONS")
    set_here = [f"{name} = {os.environ[name]}" for name in more if os.environ.get(name)]
    return ", ".join([*names, *set_here])


def _is_of_pyspark(home: Path) -> bool:
    import pyspark

    if home.resolve() == Path(pyspark.__file__).resolve().parent:
        return True
    return any((home / "jars").glob(f"spark-core_*-{pyspark.__version__}.jar"))


def _check_arguments(given: str | None, *, local: bool) -> None:
    words = (given or "pyspark-shell").split()
    elsewhere = [
        f"{option} {value}"
        for option, value in pairwise(words)
        if option == "--deploy-mode" or (option == "--master" and not value.startswith("local"))
    ]
    if words[-1] != "pyspark-shell":
        problem = "does not end in pyspark-shell, without which no session starts"
    elif local and elsewhere:
        problem = f"names {elsewhere[0]}, and MUSICREC_SPARK_MASTER alone says where Spark runs"
    else:
        return
    raise MusicRecError(f"PYSPARK_SUBMIT_ARGS = {given!r} {problem}; correct it or unset it")
