"""Fixtures that several test files share."""

from __future__ import annotations

import os
import re
import signal
from contextlib import ExitStack, nullcontext

import hypothesis
import pytest

from musicrec.spark.session import spark_session

# No deadline: the first call of a kernel compiles it. Derandomised: a red run can be run again.
hypothesis.settings.register_profile("kernels", deadline=None, derandomize=True)
hypothesis.settings.load_profile("kernels")

# Java's second compiler takes longer than it saves in runs of Spark as short as these.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")

# A shell ignores ctrl-C for what it runs in the background, and stages that tests start inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def group(nodeid: str) -> str:
    """What one process of `make test` runs: whole files, whose tests share what takes long.

    tests/pipeline is one group, for one scratch clone; what is on Spark is another, since two
    sessions at once take more than twice as long; and so is tests/review, for its project.
    """
    if nodeid.startswith("tests/pipeline/"):
        return "1 pipeline"
    if re.search("spark|mllib", nodeid, re.IGNORECASE):
        return "2 spark"
    return "3 review" if nodeid.startswith("tests/review/") else f"4 {nodeid.partition('::')[0]}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the groups that take longest first, where `--no-loadscope-reorder` leaves them."""
    items.sort(key=lambda item: group(item.nodeid)[0])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Share out groups; the marks of `--dist loadgroup` have no effect under pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    return Groups(config, log)


@pytest.fixture(scope="session")
def spark():
    """One small local Spark session; starting one takes seconds.

    Nothing else in this process may enter `spark_session`, which would end it: see
    `stages_on_spark`.
    """
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:  # later on, no master is named
            patch.setenv("MUSICREC_SPARK_MASTER", "local[2]")
            patch.setenv("MUSICREC_SPARK_MEMORY", "1g")
            session = stack.enter_context(spark_session("tests"))
        yield session


@pytest.fixture
def stages_on_spark(spark, monkeypatch):
    """Let stages called in this process run in the session of `spark`."""
    monkeypatch.setenv("MUSICREC_SPARK_MASTER", "local[2]")
    monkeypatch.setattr("musicrec.train.mllib.spark_session", lambda _: nullcontext(spark))
