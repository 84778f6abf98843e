"""Fixtures that several test files share."""

from __future__ import annotations

import os
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


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each process of `make test` whole files to run, whose tests share what takes long.

    tests/pipeline is one group, for one scratch clone; what runs in the session of `spark` is
    another, since two sessions at once take more than twice as long; and so is what looks at the
    project of tests/review. They take longest: first, which `--no-loadscope-reorder` keeps.
    """

    def group(item: pytest.Item) -> str:
        names, folder = item.fixturenames, item.path.parent.name  # type: ignore[attr-defined]
        if folder == "pipeline":
            return "1 pipeline"
        if "spark" in names or "[MLlib]" in item.name:
            return "2 spark"
        if folder == "review" and "project" in names:
            return "3 review"
        return f"4 {item.path}"

    items.sort(key=lambda item: group(item)[0])
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))


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
