"""Environments in which another installation of Spark has left its settings."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyspark
import pytest

from musicrec.errors import MusicRecError
from musicrec.spark.surroundings import blamed, leave_other_spark, python_of_executors

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_on_one_machine_another_spark_and_python_are_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    monkeypatch.setenv("PYSPARK_PYTHON", "/bin/false")
    monkeypatch.setenv("SPARK_REMOTE", "sc://elsewhere")
    monkeypatch.setenv("PYSPARK_GATEWAY_PORT", "1")
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", "--master local[2] pyspark-shell")
    leave_other_spark("local[*]")
    gone = {"SPARK_HOME", "PYSPARK_PYTHON", "SPARK_REMOTE", "PYSPARK_GATEWAY_PORT"}
    assert not gone & set(os.environ)


def test_a_spark_of_the_version_of_pyspark_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "jars").mkdir()
    (tmp_path / f"jars/spark-core_2.13-{pyspark.__version__}.jar").touch()
    for home in (tmp_path, Path(pyspark.__file__).parent):
        monkeypatch.setenv("SPARK_HOME", str(home))
        leave_other_spark("local[2]")
        leave_other_spark("yarn")
        assert os.environ["SPARK_HOME"] == str(home)


def test_on_a_cluster_another_spark_is_named_and_a_python_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    monkeypatch.setenv("PYSPARK_PYTHON", "/opt/python")
    with pytest.raises(MusicRecError, match=f"holds no Spark {pyspark.__version__}"):
        leave_other_spark("yarn")
    assert os.environ["PYSPARK_PYTHON"] == "/opt/python"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--master local[2]", "does not end in pyspark-shell"),
        ("--master yarn pyspark-shell", "names --master yarn"),
        ("--deploy-mode client pyspark-shell", "names --deploy-mode client"),
        ("--packages a:b:1 pyspark-shell", None),
        ("", None),
    ],
)
def test_arguments_for_another_session_are_named(
    monkeypatch: pytest.MonkeyPatch, arguments: str, said: str | None
) -> None:
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", arguments)
    if said is None:
        leave_other_spark("local[*]")
        assert ("PYSPARK_SUBMIT_ARGS" in blamed()) == bool(arguments)
    else:
        with pytest.raises(MusicRecError, match="PYSPARK_SUBMIT_ARGS = ") as raised:
            leave_other_spark("local[*]")
        assert said in str(raised.value)


def test_executors_run_this_python_unless_another_is_named(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert spark.sparkContext.pythonExec == sys.executable  # and not the first one on PATH
    conf: dict[str, str] = {}
    context = SimpleNamespace(getConf=lambda: conf, master="spark://host:7077")
    session: Any = SimpleNamespace(sparkContext=context)
    monkeypatch.delenv("PYSPARK_PYTHON", raising=False)
    assert python_of_executors(session) == sys.executable
    conf["spark.pyspark.python"] = "./environment/bin/python"
    assert python_of_executors(session) == "./environment/bin/python"
    monkeypatch.setenv("PYSPARK_PYTHON", "/opt/python")
    assert python_of_executors(session) == "/opt/python"
    for master in ("local", "local[*]"):  # executors are this process
        context.master = master
        assert python_of_executors(session) == sys.executable
