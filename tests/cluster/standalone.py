"""A standalone Spark cluster on loopback: a master, workers, and what a test does to them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyspark

SPARK = Path(pyspark.__file__).parent
START_SECONDS = 60
EXECUTOR = "CoarseGrainedExecutorBackend"


class Standalone:
    """A master and its workers, each a process group of its own."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self.master = ""
        log = self._start("master", "org.apache.spark.deploy.master.Master", "--host", "127.0.0.1",
                          "--port", "0", "--webui-port", "0")  # fmt: skip
        self.master = self._told(log, r"Starting Spark master at (spark://\S+)")
        for number in range(workers):
            self.add_worker(f"worker{number}")

    def add_worker(self, name: str) -> None:
        """Start a worker with one core and 1 GB, and wait until the master has it."""
        log = self._start(name, "org.apache.spark.deploy.worker.Worker", "--host", "127.0.0.1",
                          "--cores", "1", "--memory", "1g", "--webui-port", "0",
                          "--work-dir", str(self.folder / name), self.master)  # fmt: skip
        self._told(log, r"(Successfully registered with master)")

    def _start(self, name: str, program: str, *words: str) -> Path:
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            self._processes.append(
                subprocess.Popen(
                    [SPARK / "bin/spark-class", program, *words],
                    env=os.environ | {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_HOME": str(SPARK)},
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            )
        return log

    def _told(self, log: Path, pattern: str) -> str:
        deadline = time.monotonic() + START_SECONDS
        while (found := re.search(pattern, log.read_text(errors="replace"))) is None:
            assert time.monotonic() < deadline, f"{log}: {log.read_text(errors='replace')[-2000:]}"
            assert self._processes[-1].poll() is None, log.read_text(errors="replace")[-2000:]
            time.sleep(0.1)
        return found[1]

    def executors(self) -> list[int]:
        """Process numbers of the executors of this cluster, the oldest first."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (process / "cmdline").read_bytes().decode(errors="replace")
                if EXECUTOR in words and str(self.folder) in str((process / "cwd").readlink()):
                    found.append(int(process.name))
        return sorted(found)

    def kill_worker(self) -> None:
        """End the newest worker, and what it has started, without warning."""
        os.killpg(self._processes.pop().pid, signal.SIGKILL)

    def stop(self) -> None:
        """End everything."""
        for process in reversed(self._processes):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def standalone(folder: Path, workers: int = 2) -> Iterator[Standalone]:
    """Run a cluster; it is gone afterwards, whatever happens."""
    folder.mkdir(parents=True, exist_ok=True)
    cluster = Standalone.__new__(Standalone)
    try:
        cluster.__init__(folder, workers)  # type: ignore[misc]
        yield cluster
    finally:
        cluster.stop()
