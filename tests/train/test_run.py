"""The train stage: what it writes, what it refuses, what an interrupt leaves."""

import json
import re

import numpy as np
import pytest

from musicrec.als.fit import fit, objective
from musicrec.als.fold_in import read_model
from musicrec.bundle.write import export_bundle
from musicrec.errors import MusicRecError
from musicrec.interactions.held_out import read_held_out
from musicrec.interactions.matrix import from_triples, read_interactions
from musicrec.params import ALSParams, ExportParams, FeedbackParams
from musicrec.storage.files import read_json
from musicrec.train.run import NATIVE_ONLY, train
from tests.support.als_reference import random_plays
from tests.support.indexed_data import write_index
from tests.support.scripts import stage_process

PARAMS = ALSParams(rank=6, max_iter=4)


def write_indexed(folder, plays, splits=("train", "validation"), item="item{}", order=range(60)):
    """Plays as the index stage writes them, every fourth play of the first users held out."""
    users = np.repeat(np.arange(plays.n_users), plays.lengths)
    held = (users < 40) & (np.arange(len(users)) % 4 == 0)
    columns = {"user": users, "item": plays.indices, "count": plays.counts}
    chosen = {"train": ~held, "validation": held}
    rows = {name: {key: of[chosen[name]] for key, of in columns.items()} for name in splits}
    ids = [f"user{i}" for i in range(plays.n_users)], [item.format(i) for i in order]
    write_index(folder, rows, *ids, (plays.n_users, plays.n_items))
    return folder


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    return write_indexed(tmp_path_factory.mktemp("indexed"), random_plays(90, 60))


def run(indexed, out, als=PARAMS, **feedback):
    """Run the stage's function into `out`."""
    parameters = FeedbackParams(**feedback)  # type: ignore[arg-type]
    train(indexed, out / "factors", out / "train.json", out / "plots", als, parameters)
    return out


def factors_of(out):
    users, items = (np.load(out / "factors" / f"{kind}_factors.npy") for kind in ("user", "item"))
    return users, items


def last_loss(out):
    return json.loads((out / "plots/loss.json").read_text())[-1]["loss"]


def test_outputs(indexed, tmp_path):
    run(indexed, tmp_path)
    users, items = factors_of(tmp_path)
    assert (users.shape, items.shape) == ((90, 6), (60, 6))
    assert users.dtype == items.dtype == np.float32
    plays = read_interactions(indexed / "train", 90, 60)
    assert read_json(tmp_path / "train.json") == {"iterations": 4, "plays": len(plays.indices)}
    course = json.loads((tmp_path / "plots/loss.json").read_text())
    loss = course[-1]["loss"]
    assert loss == pytest.approx(objective(plays, users, items, PARAMS), rel=1e-6)
    rows = json.loads((tmp_path / "plots/factors.json").read_text())
    assert [(row["table"], row["rows"]) for row in rows] == [("users", 90), ("tracks", 60)]
    assert [row["iteration"] for row in course] == [1, 2, 3, 4]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["factors", "plots", "train.json"]


def test_early_stopping_keeps_the_best_iteration(indexed, tmp_path):
    als = PARAMS.replace(max_iter=60, early_stopping=3, alpha=40.0)
    run(indexed, tmp_path, als)
    figures = read_json(tmp_path / "train.json")
    best = figures["iterations"]
    assert best < 57
    course = json.loads((tmp_path / "plots/loss.json").read_text())
    scores = [row["ndcg@100"] for row in course]
    assert len(scores) == best and max(scores) == scores[-1] == figures["early_stopping_ndcg@100"]
    plays = read_interactions(indexed / "train", 90, 60)
    alone = fit(plays, als.replace(max_iter=best))
    np.testing.assert_array_equal(factors_of(tmp_path)[0], alone.users)
    np.testing.assert_array_equal(factors_of(tmp_path)[1], alone.items)


@pytest.mark.parametrize(("reg_param", "feedback"), [(1e9, "none"), (100.0, "log1p")])
def test_factors_of_zero_are_warned_of(indexed, tmp_path, capsys, reg_param, feedback):
    """By train and by whoever judges the model; exactly zero, or too small to tell tracks apart."""
    run(indexed, tmp_path, PARAMS.replace(reg_param=reg_param), transform=feedback)
    sentence = r"(all factors are zero|no score is above).*: als\.reg_param = \S+ outweighs"
    assert re.search(sentence, capsys.readouterr().err)
    read_model(tmp_path / "factors", read_held_out(indexed, "validation"))
    assert re.search(sentence, capsys.readouterr().err)
    run(indexed, tmp_path)
    assert "outweighs" not in capsys.readouterr().err


def bundle_of(indexed, out, folder):
    export_bundle(indexed, out / "factors", folder, ExportParams(n_trees=1))
    return folder


def test_warm_start_matches_by_id(tmp_path):
    plays = random_plays(90, 60)
    before = write_indexed(tmp_path / "before", plays)
    long = PARAMS.replace(max_iter=30)
    bundle = bundle_of(before, run(before, tmp_path / "first", long), tmp_path / "bundle")
    order = np.random.default_rng(0).permutation(60)  # the new index numbers the tracks anew
    users = np.repeat(np.arange(90), plays.lengths)
    moved = from_triples(users, np.argsort(order)[plays.indices], plays.counts, 90, 60)
    after = write_indexed(tmp_path / "after", moved, ("train",), order=order)
    one = PARAMS.replace(max_iter=1)
    cold = last_loss(run(after, tmp_path / "cold", one))
    warm = one.replace(warm_start=str(bundle))
    started = last_loss(run(after, tmp_path / "warm", warm))
    reached = last_loss(tmp_path / "first")
    assert started < 1.1 * reached < cold


def test_warm_start_that_cannot_be(indexed, tmp_path):
    warm = PARAMS.replace(warm_start=str(tmp_path / "none"))
    with pytest.raises(MusicRecError, match=r"no manifest\.json there"):
        run(indexed, tmp_path / "out", warm)
    bundle = bundle_of(indexed, run(indexed, tmp_path / "first"), tmp_path / "bundle")
    other_rank = PARAMS.replace(rank=7, warm_start=str(bundle))
    with pytest.raises(MusicRecError, match=r"its rank is 6, not als\.rank = 7"):
        run(indexed, tmp_path / "out", other_rank)
    strange = write_indexed(tmp_path / "strange", random_plays(90, 60), item="other{}")
    with pytest.raises(MusicRecError, match="none of its tracks"):
        run(strange, tmp_path / "out", PARAMS.replace(warm_start=str(bundle)))
    damaged = bundle / "user_factors.npy"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(MusicRecError, match=r"user_factors\.npy is not the one its manifest names"):
        run(indexed, tmp_path / "out", PARAMS.replace(warm_start=str(bundle)))
    assert not (tmp_path / "out").exists()


def test_mllib_refuses_what_it_would_ignore(indexed, tmp_path):
    others = {"early_stopping": 2, "solver": "cg", "warm_start": "data/bundle"}
    assert set(others) < set(NATIVE_ONLY)
    described = ALSParams.model_fields.items()
    native = {name for name, field in described if field.description.startswith("native: ")}
    assert native - {"engine"} == set(NATIVE_ONLY)
    for name in NATIVE_ONLY:
        als = PARAMS.replace(engine="mllib", **{name: others.get(name, 0.5)})
        with pytest.raises(MusicRecError, match=rf"als\.engine = mllib has no als\.{name}"):
            run(indexed, tmp_path, als)


def test_the_native_engine_starts_no_spark(indexed, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")  # prints a line for each import
    paths = {"output": "factors", "metrics": "train.json", "plots": "plots"}
    params = "als:\n  rank: 4\n  max_iter: 1\n"
    imported = stage_process("train", tmp_path, params, indexed=indexed, **paths).stderr
    assert "musicrec.train.run" in imported
    assert "pyspark" not in imported and "py4j" not in imported
