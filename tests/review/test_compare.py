"""Comparison of two per-user tables: figures, verdicts, forms and refusals."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from scipy import stats as scipy_stats

from musicrec.errors import MusicRecError
from musicrec.evaluate.judge import TABLE_METADATA
from musicrec.formatting import NOTHING
from musicrec.metrics.definitions import (
    BETTER,
    CANNOT_TELL,
    EQUIVALENT,
    IDENTICAL,
    NO_WORSE,
    TOO_FEW,
    WORSE,
)
from musicrec.metrics.intervals import FEWEST_USERS, Comparison
from musicrec.review.compare import compare
from musicrec.review.markdown import against_champion
from musicrec.review.result import Result, as_json, as_markdown, as_text
from musicrec.review.tables import Champion

K = [10, 500]
NAMES = [f"{metric}@{k}" for metric in ("map", "precision", "recall", "ndcg") for k in K]
HEADLINES = ["map@500", "ndcg@500", "recall@500", "precision@10"]


@dataclass
class Stored:
    """Stands in for a revision: a table as it would be read, and the hash of its data."""

    name: str
    table: pa.Table | None
    data: str | None = "abc.dir"
    evaluate: dict[str, int] = field(default_factory=dict)
    source: str = "data/sample"
    judged: int = 0
    root: str = "."
    commit: None = None
    champion: None = None

    def read(self, path: str) -> bytes | None:
        if self.table is None or path != "data/per_user.parquet":
            return None
        stream = io.BytesIO()
        pq.write_table(self.table, stream)
        return stream.getvalue()

    def read_yaml(self, path: str) -> dict:
        assert path == "params.yaml"
        return {"evaluate": self.evaluate, "data": {"source": self.source}}

    def output_hash(self, path: str) -> str | None:
        assert path == "data/ingested"
        return self.data


@pytest.fixture(autouse=True)
def judged_before(monkeypatch):
    """What the clone's records would say."""
    monkeypatch.setattr("musicrec.review.compare.settings_judged", lambda head, truth: head.judged)


def table(n_users=2000, shift=0.0, seed=0, split="validation", k=K, names=NAMES, **about):
    """A table whose metrics have many zeros; `shift` moves the mean of the MAPs alone."""
    rng = np.random.default_rng(7)
    values = {name: rng.beta(0.4, 4, n_users) * (rng.random(n_users) < 0.7) for name in names}
    change = np.random.default_rng(seed)
    for name in names:
        noise = change.normal(0, 0.02, n_users) if seed else 0.0
        values[name] = values[name] + noise + (shift if name.startswith("map") else 0.0)
    columns = {
        "user_id": [f"u{i:06d}" for i in range(n_users)],
        "truth": np.arange(n_users, dtype=np.uint64) * np.uint64(2**40 + 1),
        **values,
        "spark_map": pa.array(values[names[0]], mask=np.arange(n_users) < 3),
    }
    metadata = {TABLE_METADATA: json.dumps({"split": split, "k": k, **about})}
    return pa.table(columns).replace_schema_metadata(metadata)


def test_figures_in_every_form_are_those_of_the_tables():
    old, new = table(), table(shift=0.01, seed=1)
    result = compare(Stored("main", old), Stored("exp", new))
    assert list(result.metrics) == HEADLINES
    assert (result.base, result.head) == ("main", "exp")
    assert (result.split, result.n_users) == ("validation", 2000)
    for name, row in result.metrics.items():
        a, b = (np.array(t.column(name).to_pylist()) for t in (old, new))
        assert row.base == pytest.approx(a.mean())
        assert row.head == pytest.approx(b.mean())
        assert row.difference == pytest.approx((b - a).mean())
        assert row.low < row.difference < row.high
        assert row.p_value == pytest.approx(scipy_stats.ttest_rel(b, a).pvalue, rel=1e-9)
    assert result.metrics["map@500"].verdict == "better"
    assert result.metrics["ndcg@500"].verdict == "cannot tell"
    back = compare(Stored("exp", new), Stored("main", old))
    assert back.metrics["map@500"].verdict == "worse"
    text = as_text(result)
    assert text.startswith("main against exp: 2,000 validation users\n")
    assert re.search(r"\nmap@500  .* to \+\d+\.\d\d %  < 0\.0001  better\n", text)
    assert re.search(r"\n\| map@500 \| .* \| \*\*better\*\* \|\n", as_markdown(result))
    found = json.loads(as_json(result))
    assert (found["metrics"]["map@500"]["verdict"], found["n_users"]) == ("better", 2000)


def test_only_list_lengths_and_metrics_of_both_are_compared():
    few = [name for name in NAMES if name.endswith("@10")]
    result = compare(Stored("a", table()), Stored("b", table(k=[10, 20], names=few)))
    assert list(result.metrics) == ["map@10", "ndcg@10", "recall@10", "precision@10"]
    old = table(names=[name for name in NAMES if not name.startswith("ndcg")])
    names = list(compare(Stored("main", old), Stored("exp", table())).metrics)
    assert names == [name for name in HEADLINES if not name.startswith("ndcg")]


def test_chosen_metrics_and_their_number_in_the_correction():
    stored = Stored("a", table()), Stored("b", table(shift=0.001, seed=1))
    alone = compare(*stored, metrics=["map@10"]).metrics["map@10"]
    assert alone.adjusted_p_value == alone.p_value
    pair = compare(*stored, metrics=["map@10", "ndcg@10"]).metrics
    smaller = min(pair.values(), key=lambda row: row.p_value)
    assert smaller.adjusted_p_value == pytest.approx(min(1.0, 2 * smaller.p_value))


def test_directions_of_metrics_and_users_without_a_value():
    """A lower Gini is better, of popularity neither; a null on either side is left out."""
    names = ["gini@10", "popularity@10", "coverage@10"]
    old, new = table(names=names), table(names=names)
    for name in names:
        values = old.column(name).to_numpy() * 0.5
        new = with_column(new, name, pa.array(values, mask=np.arange(2000) < 7))
    metrics = compare(Stored("a", old), Stored("b", new), names).metrics
    assert [metrics[name].verdict for name in names] == ["better", "lower", "worse"]
    assert {row.n_users for row in metrics.values()} == {1993}
    assert metrics["gini@10"].base == pytest.approx(old.column("gini@10").to_numpy()[7:].mean())
    back = compare(Stored("b", new), Stored("a", old), names)
    assert [row.verdict for row in back.metrics.values()] == ["worse", "higher", "better"]
    assert back.stopping("worse") == {"gini@10": "worse"}
    assert back.stopping("not-better") == {"gini@10": "worse"}  # nor "higher", which is neither
    assert not compare(Stored("a", old), Stored("b", new), names[1:2]).stopping("not-better")
    everything = [old.set_column(2, names[0], pa.nulls(2000, pa.float64())), new]
    with pytest.raises(MusicRecError, match="gini@10: no user of a has a list long enough"):
        compare(Stored("a", everything[0]), Stored("b", new), names)


def test_a_change_that_is_better_on_average_and_worse_for_newcomers_is_said():
    history = np.repeat([0, 3, 7, 60, 700], [500, 500, 10, 490, 500])
    old, new = (t.append_column("history_length", pa.array(history)) for t in (table(), table()))
    gain = np.where(history == 3, -0.02, 0.02) + np.random.default_rng(1).normal(0, 0.01, 2000)
    new = with_column(new, "map@500", pa.array(new.column("map@500").to_numpy() + gain))
    result = compare(Stored("a", old), Stored("b", new), ["map@500"], by=["history"])
    said = {name: (row.n_users, row.verdict) for name, row in result.metrics.items()}
    assert said == {
        "map@500": (2000, "better"),
        "map@500, history 0": (500, "better"),
        "map@500, history 1-4": (500, "worse"),
        "map@500, history 5-9": (10, "too few users"),
        "map@500, history 50-99": (490, "better"),
        "map@500, history 500+": (500, "better"),
    }
    newcomers = [t.filter(pc.equal(t.column("history_length"), 3)) for t in (old, new)]
    alone = compare(*map(Stored, "ab", newcomers), ["map@500"]).metrics["map@500"]
    part = result.metrics["map@500, history 1-4"]
    assert (part.base, part.low, part.p_value) == (alone.base, alone.low, alone.p_value)
    assert part.adjusted_p_value >= part.p_value  # six comparisons, not one
    assert list(result.stopping("cannot-tell")) == ["map@500, history 1-4"]
    assert result.gate_sentence("worse").endswith(": map@500, history 1-4: worse.")
    assert "metric                  users" in as_text(result)
    nobody = pa.array(np.zeros(2000), mask=history == 3)  # has lists that it is of
    old, new = (with_column(t, "map@500", nobody) for t in (old, new))
    found = compare(Stored("a", old), Stored("b", new), ["map@500"], by=["history"]).metrics
    assert "map@500, history 0" in found and "map@500, history 1-4" not in found


def test_the_bootstrap_is_that_of_the_heads_parameters():
    old, new = Stored("a", table()), Stored("b", table(shift=0.01, seed=1))
    default = compare(old, new)
    same = {"bootstrap_samples": 1000, "seed": 42, "k": [7], "of an older version": 1}
    assert compare(old, replace(new, evaluate=same)) == default
    assert compare(replace(old, evaluate={"seed": 1}), new) == default
    for other in ({"seed": 1}, {"bootstrap_samples": 200}):
        found = compare(old, replace(new, evaluate=other))
        assert found.metrics["map@500"].low != default.metrics["map@500"].low
    with pytest.raises(MusicRecError, match=r"params.yaml of b: evaluate.seed = 'x' is not"):
        compare(old, replace(new, evaluate={"seed": "x"}))


def judged(*said: str) -> Result:
    """A result with the given verdicts on map@500, ndcg@500, …."""
    row = Comparison(0.1, 0.1, 0.0, -0.1, 0.1, 0.0, -1.0, 1.0, 1.0, 1.0, 100, 90, "")
    metrics = {name: replace(row, verdict=v) for name, v in zip(HEADLINES, said, strict=False)}
    return Result("main", "exp", "validation", 100, 0.01, metrics)


@pytest.mark.parametrize(
    ("gate", "passing"),
    [
        ("worse", [BETTER, NO_WORSE, EQUIVALENT, IDENTICAL, CANNOT_TELL, TOO_FEW]),
        ("cannot-tell", [BETTER, NO_WORSE, EQUIVALENT, IDENTICAL]),
        ("not-better", [BETTER]),
    ],
)
def test_gates(gate, passing):
    every = [BETTER, WORSE, NO_WORSE, EQUIVALENT, IDENTICAL, CANNOT_TELL, TOO_FEW]
    assert [verdict for verdict in every if not judged(BETTER, verdict).stopping(gate)] == passing
    assert judged(BETTER).gate_sentence(gate) == f"Gate: passed (--fail-on {gate})."
    stopped = judged(BETTER, WORSE).gate_sentence(gate)
    assert stopped == f"Gate: FAILED (--fail-on {gate}): ndcg@500: worse."


def test_better_on_the_users_that_chose_it_is_said_in_the_verdict():
    base, head = Stored("main", table()), Stored("exp", table(shift=0.01, seed=1), judged=101)
    result = compare(base, head)
    assert "| **better on the users that chose it** |" in as_markdown(result)
    words = " ".join(as_text(result).split())
    assert "better on the users that chose it" in words
    assert "2,000 validation users have judged 101 settings in this clone" in words
    assert "`dvc exp run -S evaluate.split=test evaluate`" in words
    pair = compare(base, replace(head, judged=2))  # nothing but these two was ever judged
    assert pair.settings_judged == 0 and pair.verdict("map@500") == "better"
    test = replace(base, table=table(split="test"))
    other = replace(head, table=table(shift=0.01, seed=1, split="test"))
    assert compare(test, other).verdict("map@500") == "better"
    assert compare(replace(head, judged=0), replace(base, judged=101)).settings_judged == 0  # worse


def test_where_nothing_can_be_told_the_cure_is():
    old, new = table(), table(shift=0.0003, seed=1)
    metrics = ["map@500"]

    def cure(margin=0.01):
        result = compare(Stored("a", old), Stored("b", new), metrics, margin)
        assert result.metrics["map@500"].verdict == CANNOT_TELL
        return result.cure, result.metrics["map@500"]

    text, row = cure()
    half, distance = (row.change_high - row.change_low) / 2, max(abs(row.change), row.change + 0.01)
    told = int(text.split("about ")[1].split(" validation")[0].replace(",", ""))
    assert told == pytest.approx(2000 * (half / distance) ** 2, rel=0.06) and told > 2000
    assert "at a margin of 1 %" in text and "hold more out (data.validation_users; " in text
    wider = float(text.split("--margin ")[1].rstrip("."))
    again = compare(Stored("a", old), Stored("b", new), metrics, wider)
    assert again.metrics["map@500"].verdict in (NO_WORSE, EQUIVALENT)
    assert "of a change as large as this one" in cure(margin=0.0)[0]


def test_too_few_users_is_said_in_place_of_a_verdict():
    old = table(40)
    result = compare(Stored("a", old), Stored("b", table(40, shift=0.01)), ["map@500"])
    assert result.metrics["map@500"].verdict == TOO_FEW
    said = " ".join(as_text(result).split())
    assert f"too few users where fewer than {FEWEST_USERS} differ" in said
    assert f"{NOTHING} {TOO_FEW}" in said  # no p-value beside it
    assert "where 40 differ takes about 50 validation users, not 40" in result.cure
    same = compare(Stored("a", old), Stored("b", old))
    assert same.cure == "" and {row.verdict for row in same.metrics.values()} == {IDENTICAL}


def test_a_champion_is_compared_with_the_model_judged_beside_it(tmp_path, monkeypatch):
    old, new = table(shift=0.01, seed=1), table()
    both = new.schema.metadata
    for name in NAMES:
        new = new.append_column(f"champion_{name}", old.column(name))
    (tmp_path / "manifest.json").write_text("{}")
    digest = hashlib.sha256(b"{}").hexdigest()
    about = {"folder": str(tmp_path), "digest": digest, "unknown": 0.032, "unsure": 7}
    described = json.loads(both[TABLE_METADATA]) | {"champion": about}
    new = new.replace_schema_metadata({TABLE_METADATA: json.dumps(described)})
    head = Stored("workspace", new)
    for base in (Champion(head), Champion(head, tmp_path)):
        result = compare(base, head)
        alone = compare(Stored("old", old), head)
        assert result.metrics == alone.metrics and result.metrics["map@500"].verdict == "worse"
        assert as_text(result).startswith("champion against workspace: 2,000")
        assert (
            "3.2 % of the held-out plays are of tracks that it does not know, and are misses"
            in as_markdown(result)
        )
        assert "may have been trained on 7 of the held-out plays" in as_markdown(result)
    monkeypatch.setattr("musicrec.review.markdown.outdated", lambda revision: "")
    text = against_champion(replace(head, evaluate={"champion": "x"}), "worse")
    assert "FAILED (--fail-on worse): map@500: worse" in text
    with pytest.raises(MusicRecError, match=rf"beside {tmp_path}, not other as"):
        Champion(head, "other")
    (tmp_path / "dvc.yaml").write_text("stages: {export: {outs: [made: {cache: false}]}}")
    for name in ("other", "made"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text("{ }")
    other = str(tmp_path / "other")
    with pytest.raises(MusicRecError, match=rf"not {other} as it is now; to judge {other}: "):
        Champion(head, other)
    with pytest.raises(MusicRecError, match="publish it first: `musicrec publish FOLDER`"):
        Champion(head, tmp_path / "made")
    (tmp_path / "manifest.json").write_text("{ }")
    with pytest.raises(MusicRecError, match=rf"not {tmp_path} as it is now; to "):
        Champion(head)
    with pytest.raises(
        MusicRecError, match=r"beside no champion; to judge FOLDER: `dvc exp run -S"
    ):
        Champion(Stored("workspace", old))


def test_reading_a_table_leaves_no_thread_behind(tmp_path):
    """Arrow's threads, still holding a Python file when the interpreter ends, abort it."""
    if not Path("/proc/self/task").is_dir():
        pytest.skip("counts the threads of a process in /proc, which only Linux has")
    path = tmp_path / "table.parquet"
    pq.write_table(table(), path)
    program = """
import os, sys
from pathlib import Path
from musicrec.review import tables
class Stored:
    name = "x"
    def read(self, _):
        return Path(sys.argv[1]).read_bytes()
before = set(os.listdir("/proc/self/task"))
assert tables.per_user(Stored()).num_rows == 2000
print(len(set(os.listdir("/proc/self/task")) - before))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "0\n"


def with_column(old: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return old.set_column(old.column_names.index(name), name, values)


def other_users(old: pa.Table) -> pa.Table:
    ids = old.column("user_id").to_pylist()
    return with_column(old, "user_id", pa.array(["v", *ids[1:]]))


def other_truth(old: pa.Table) -> pa.Table:
    truth = old.column("truth").to_numpy().copy()
    truth[5] += 1
    return with_column(old, "truth", pa.array(truth))


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (Stored("exp", table(split="test")), "with evaluate.split = validation and test; run one"),
        (Stored("exp", table(seen="keep")), "with evaluate.seen = exclude and keep; run one"),
        (
            Stored("exp", table(), data="def.dir", source="mine.csv"),
            "their data differ: data.source is data/sample and mine.csv; compare models",
        ),
        (Stored("exp", table(), data="def.dir"), "the same parameters, but other plays"),
        (Stored("exp", other_users(table())), "users differ, 2,000 and 2,000 with 1,999 in common"),
        (Stored("exp", table(1500)), "users differ, 2,000 and 1,500 with 1,500 in common"),
        (Stored("exp", other_truth(table())), "1 of 2,000 users have different held-out tracks"),
        (Stored("exp", other_truth(table()), data=None), "different held-out tracks"),
        (Stored("exp", table(k=[7])), "no list length .* in common"),
        (Stored("exp", None), "exp has no data/per_user.parquet; run `dvc repro evaluate`"),
    ],
)
def test_refuses_what_cannot_be_compared(head, reason):
    with pytest.raises(MusicRecError, match=reason):
        compare(Stored("main", table()), head)


@pytest.mark.parametrize("name", ["map@11", "spark_map", "user_id"])
def test_refuses_a_metric_that_has_no_paired_comparison(name):
    with pytest.raises(MusicRecError, match=f"{name} is not a metric that main"):
        compare(Stored("main", table()), Stored("exp", table()), [name])
