"""Plays of any format in, three clean splits out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from musicrec.ingest.in_process.run import ingest_in_process
from musicrec.ingest.on_spark import ingest_on_spark
from musicrec.ingest.source.listing import local_inputs
from musicrec.params import DataParams
from musicrec.runtime import progress
from musicrec.spark.session import spark_session


def ingest(params: DataParams, folder: Path) -> dict[str, Any]:
    """Read, check, merge and split the plays of `params.source`.

    In this process where they are plain and without a flaw (`ingest_in_process`), else on Spark;
    the splits have the same bytes either way. For parameters, result and errors see
    `ingest_on_spark`.
    """
    summary = ingest_in_process(params, folder)
    if summary is None:
        progress(f"{params.source}: not plain throughout, so Spark reads it (10 s and more)")
        with spark_session("ingest", local_inputs(params.source)) as spark:
            summary = ingest_on_spark(spark, params, folder)
    return summary
