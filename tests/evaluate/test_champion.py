"""A published model judged on the plays held out today; refused where it has learned them."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from musicrec.bundle import load_bundle
from musicrec.bundle.write import export_bundle
from musicrec.errors import MusicRecError
from musicrec.evaluate.judge import described
from musicrec.evaluate.report import evaluation_metrics, plot_rows, sentence
from musicrec.evaluate.run import champion_lists, evaluate
from musicrec.interactions.earlier import read_earlier
from musicrec.params import EvaluateParams, ExportParams
from tests.metrics.test_ranking import reference
from tests.support.indexed_data import (
    N_ITEMS,
    make_plays,
    write_baselines,
    write_factors,
    write_indexed,
)

PARAMS = EvaluateParams(k=(5, 50), bootstrap_samples=100)
NOW = 1_000_000  # training is before, what is held out after
Times = dict[tuple[int, int], int]


def bundle_of(folder, plays, times=None):
    last = None if times is None else lambda *pair: times.get(pair, NOW + 50)
    write_indexed(folder / "theirs", plays, last)
    write_factors(folder / "theirs/factors", plays.users, plays.items)
    export_bundle(
        folder / "theirs", folder / "theirs/factors", folder / "bundle", ExportParams(n_trees=1)
    )
    return folder / "bundle"


def test_it_is_judged_as_the_bundle_answers_with_todays_history(tmp_path):
    """Of fewer tracks, in another order, by users of whom it knows other plays."""
    plays = make_plays()
    write_indexed(tmp_path / "indexed", plays)
    write_factors(tmp_path / "factors", plays.users, plays.items + 0.1)
    write_baselines(tmp_path, PARAMS)
    ids = pq.read_table(tmp_path / "indexed/items.parquet").column("track_id").to_pylist()
    names = pq.read_table(tmp_path / "indexed/users.parquet").column("user_id").to_pylist()
    bundle = bundle_of(tmp_path, replace(plays, train={(u, i) for u, i in plays.train if u > 149}))
    unknown = {f"{i}" for i in ids[N_ITEMS:]}

    params = PARAMS.replace(champion=str(bundle))
    found = evaluate(*(tmp_path / name for name in ("indexed", "factors", "baselines")), params)
    about = described(found.table.schema)["champion"]
    truth, history = defaultdict(list), defaultdict(dict)
    for user, item in plays.validation:
        truth[names[user]].append(ids[item])
    for user, item in plays.train:
        history[names[user]][ids[item]] = 1 + (user + item) % 5
    held_out = [track for tracks in truth.values() for track in tracks]
    assert about["unknown"] == pytest.approx(np.mean([track in unknown for track in held_out]))
    loaded = load_bundle(bundle)
    assert about["digest"] == loaded.digest and about["unsure"] == 0
    for k in params.k:
        expected = []
        for user in found.table.column("user_id").to_pylist():
            answer = loaded.recommend_for_plays(history[user], k)
            tracks = answer.track_ids if answer.source == "factors" else []
            expected.append(reference(tracks, truth[user], k)["ndcg"])
        got = found.table.column(f"champion_ndcg@{k}").to_pylist()
        assert got == pytest.approx(expected, abs=1e-9)
    differences = plot_rows(found, params)["differences"]
    figures = evaluation_metrics(found, differences, params)
    mean = np.mean(found.table.column("champion_map@50").to_numpy())
    assert figures["champion_map@50"] == pytest.approx(mean)
    assert f"the champion ({mean:.4f})" in sentence(figures, differences, found.table, params)
    (tmp_path / "dvc.yaml").write_text("stages: {export: {outs: [bundle]}}")
    with pytest.raises(MusicRecError, match="publish it first: `musicrec publish FOLDER`"):
        champion_lists(str(bundle), None, params)  # type: ignore[arg-type]
    with pytest.raises(MusicRecError, match=r"no manifest.json there; name a bundle"):
        champion_lists(str(bundle / "manifest.json"), None, params)  # type: ignore[arg-type]


@pytest.fixture
def today(tmp_path):
    """Plays split by time."""
    plays = make_plays()
    held = plays.validation
    write_indexed(tmp_path / "indexed", plays, lambda *pair: NOW + 10 * (pair in held))
    return tmp_path, plays


@pytest.mark.parametrize(
    ("more", "when", "says"),
    [
        (3, NOW + 10, r"it was trained on 3 of the \d+ held-out plays of validation"),
        (3, NOW - 5, ""),  # an earlier play of a track that was played again
        (0, NOW + 10, "its newest play is later than the first held-out play of validation"),
        (0, NOW, ""),
    ],
)
def test_by_their_times_it_is_known_whether_it_has_learned_them(today, more, when, says):
    folder, plays = today
    known = {pair for pair in plays.validation if pair[0] < 100 and pair[1] < N_ITEMS}
    learned = sorted(known - plays.train)[:more]
    other = (299, 0) if more == 0 else learned[0]  # whose plays nobody holds out
    times = dict.fromkeys(plays.train, NOW - 9) | dict.fromkeys([*learned, other], when)
    theirs = replace(plays, train=plays.train | {*learned, other})
    bundle = read_earlier(bundle_of(folder, theirs, times), "als.warm_start")
    if says:
        with pytest.raises(MusicRecError, match=says):
            bundle.refuse_learned(folder / "indexed", "validation")
    else:
        assert bundle.refuse_learned(folder / "indexed", "validation") == 0


def test_without_times_it_is_refused_or_marked(today, tmp_path):
    folder, plays = today
    known = {pair for pair in plays.validation if pair[0] < 100 and pair[1] < N_ITEMS}
    learned = set(sorted(known - plays.train)[:4])
    path = bundle_of(folder, replace(plays, train=plays.train | learned))
    bundle = read_earlier(path, "evaluate.champion")
    assert bundle.refuse_learned(folder / "indexed", "validation") >= 4  # or earlier plays of them
    write_indexed(tmp_path / "untimed", plays)
    with pytest.raises(MusicRecError, match="trained on 4 of the"):
        bundle.refuse_learned(tmp_path / "untimed", "validation")
    with pytest.raises(MusicRecError, match="no manifest"):
        read_earlier(tmp_path / "untimed", "evaluate.champion")
