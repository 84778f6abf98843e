"""The bundle alone gives the metrics that evaluate reported: nothing is lost on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from musicrec.bundle import load_bundle
from musicrec.bundle.write import export_bundle
from musicrec.evaluate.run import evaluate
from musicrec.params import EvaluateParams, ExportParams
from musicrec.storage.parquet import read_table
from tests.metrics.test_ranking import reference
from tests.support.indexed_data import make_plays, write_baselines, write_factors, write_indexed

PARAMS = EvaluateParams(k=(5, 50), bootstrap_samples=100)


def test_a_bundle_reproduces_the_metrics(tmp_path: Path) -> None:
    plays = make_plays()
    write_indexed(tmp_path / "indexed", plays)
    factors = plays.users.copy()
    factors[7] = 0  # whom the bundle answers by popularity, and evaluate with an empty list
    write_factors(tmp_path / "factors", factors, plays.items)
    write_baselines(tmp_path, PARAMS)
    folders = (tmp_path / "indexed", tmp_path / "factors")
    table = evaluate(*folders, tmp_path / "baselines", PARAMS).table
    export_bundle(*folders, tmp_path / "bundle", ExportParams())
    bundle = load_bundle(tmp_path / "bundle")
    users, tracks = (
        read_table(tmp_path / f"indexed/{name}.parquet").column(column).to_pylist()
        for name, column in (("users", "user_id"), ("items", "track_id"))
    )
    truth: dict[str, set[str]] = {}
    for user, item in sorted(plays.validation):
        truth.setdefault(users[user], set()).add(tracks[item])
    for k in PARAMS.k:
        answers = bundle.recommend_many(truth, k)
        lists = [answer.track_ids if answer.source == "factors" else [] for answer in answers]
        judged = [reference(*row, k) for row in zip(lists, truth.values(), strict=True)]
        for name in ("map", "ndcg"):
            expected = np.mean(table.column(f"{name}@{k}"))
            assert np.mean([one[name] for one in judged]) == pytest.approx(expected, abs=1e-12)
