"""Fixtures that several test files share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from musicrec.spark.session import spark_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# No deadline: the first call of a kernel compiles it. Derandomised: a red run can be run again.
hypothesis.settings.register_profile("kernels", deadline=None, derandomize=True)
hypothesis.settings.load_profile("kernels")

ROOT = Path(__file__).resolve().parent.parent


# Rooms whose tests share something that takes long to make: one process runs all of them.
TOGETHER = ("pipeline", "review")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each process of `make test` whole files, or a whole room, to run."""
    for item in items:
        file = Path(item.nodeid.partition("::")[0])
        room = file.parts[1] if len(file.parts) > 1 else ""
        item.add_marker(pytest.mark.xdist_group(room if room in TOGETHER else str(file)))


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """One small local Spark session for all tests; starting one takes seconds.

    A test must not enter `spark_session` itself: it would get this session and stop it. Run a
    stage that starts Spark in a process of its own.
    """
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:  # later on, no master is named
            patch.setenv("MUSICREC_SPARK_MASTER", "local[2]")
            patch.setenv("MUSICREC_SPARK_MEMORY", "1g")
            session = stack.enter_context(spark_session("tests", inputs=[]))
        yield session


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data kept beside the project, never in it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the real data of {folder}, which is not here")
    return folder
