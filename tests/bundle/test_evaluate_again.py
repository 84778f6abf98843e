"""The bundle alone gives the metrics that evaluate reported: nothing is lost on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from musicrec.bundle.write import export_bundle
from musicrec.evaluate.run import evaluate
from musicrec.params import EvaluateParams, ExportParams
from musicrec.storage.parquet import read_table
from tests.support.indexed_data import make_plays, write_baselines, write_factors, write_indexed

PARAMS = EvaluateParams(k=(5, 50), bootstrap_samples=100)

# In a process of its own: the bundle, the held-out plays by their ids, and plain Python.
JUDGE = """
import json, math, sys
from musicrec.bundle import load_bundle

bundle, truth, k = load_bundle(sys.argv[1]), json.load(sys.stdin), int(sys.argv[2])
known = [user for user in truth if bundle.users.index(user) >= 0]
lists = dict(zip(known, bundle.recommend_many(known, k)))
maps, ndcgs = [], []
for user, tracks in truth.items():
    answer = lists.get(user)
    found = answer.track_ids if answer is not None and answer.source == "factors" else []
    hits = [track in set(tracks) for track in found]
    best = min(len(tracks), k)
    maps.append(sum(sum(hits[: i + 1]) / (i + 1) for i, hit in enumerate(hits) if hit) / best)
    gains = [1 / math.log2(i + 2) for i in range(k)]
    ndcgs.append(sum(g for g, hit in zip(gains, hits) if hit) / sum(gains[:best]))
print(json.dumps([sum(values) / len(values) for values in (maps, ndcgs)]))
"""


def test_a_fresh_process_reproduces_the_metrics(tmp_path: Path) -> None:
    plays = make_plays()
    write_indexed(tmp_path / "indexed", plays)
    factors = plays.users.copy()
    factors[7] = 0  # whom the bundle answers by popularity, and evaluate with an empty list
    write_factors(tmp_path / "factors", factors, plays.items)
    write_baselines(tmp_path, PARAMS)
    folders = (tmp_path / "indexed", tmp_path / "factors")
    table = evaluate(*folders, tmp_path / "baselines", PARAMS).table
    export_bundle(*folders, tmp_path / "bundle", ExportParams())
    users, tracks = (
        read_table(tmp_path / f"indexed/{name}.parquet").column(column).to_pylist()
        for name, column in (("users", "user_id"), ("items", "track_id"))
    )
    truth: dict[str, list[str]] = {}
    for user, item in sorted(plays.validation):
        truth.setdefault(users[user], []).append(tracks[item])
    for k in PARAMS.k:
        done = subprocess.run(
            [sys.executable, "-c", JUDGE, tmp_path / "bundle", str(k)],
            input=json.dumps(truth),
            capture_output=True,
            text=True,
            check=True,
        )
        expected = [np.mean(table.column(f"{name}@{k}")) for name in ("map", "ndcg")]
        assert json.loads(done.stdout) == pytest.approx(expected, abs=1e-12)
