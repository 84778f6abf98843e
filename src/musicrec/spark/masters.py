"""A standalone cluster: is it there, and does it give the work any room?"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from musicrec.errors import MusicRecError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CONNECT_SECONDS = 5.0
ROOM_SECONDS = 15.0  # after which a person would like to know why nothing happens


def require_master(master: str) -> None:
    """Stop unless one of the masters of `spark://host:port,host:port` answers.

    Spark itself tries for a minute.

    Raises
    ------
    MusicRecError
        None does.
    """
    reason = "no host:port"
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.strip("/").rpartition(":")
        try:
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
            return
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
    raise MusicRecError(
        f"MUSICREC_SPARK_MASTER = {master}: no Spark master answers there ({reason}); start it, "
        "or unset the variable to run on this machine"
    )


@contextmanager
def room_watched(spark: SparkSession) -> Iterator[None]:
    """Say so once where a cluster gives no executor for a while; Spark's own words are muted."""
    if spark.sparkContext.master.startswith("local"):
        yield
        return
    over = threading.Event()

    def watch() -> None:
        while not over.wait(ROOM_SECONDS):
            executors = spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size() - 1
            if executors < 1:
                print(
                    f"warning: {spark.sparkContext.master} has given no executor yet; it may lack "
                    "workers, or their memory or cores may be less than Spark's configuration asks",
                    file=sys.stderr,
                    flush=True,
                )
                return

    thread = threading.Thread(target=watch, daemon=True, name="room")
    thread.start()
    try:
        yield
    finally:
        over.set()
