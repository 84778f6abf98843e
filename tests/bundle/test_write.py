"""The bundle says what its factors were trained with."""

import numpy as np
import pytest

from musicrec.bundle import load_bundle
from musicrec.bundle.write import export_bundle
from musicrec.errors import MusicRecError
from musicrec.interactions.factors import TRAINED_WITH, write_factors
from musicrec.params import ALSParams, ExportParams, FeedbackParams
from musicrec.storage.files import read_json
from tests.support.extreme_factors import KINDS, make
from tests.support.indexed_data import make_plays, write_indexed
from tests.support.scripts import run_stage

TRAINED = {
    "als": ALSParams(rank=4, alpha=7.0, reg_param=1e-7).model_dump(),
    "feedback": FeedbackParams(transform="log1p").model_dump(),
}


@pytest.fixture
def project(tmp_path):
    plays = make_plays()
    write_indexed(tmp_path / "indexed", plays)
    write_factors(tmp_path / "factors", plays.users.astype("f4"), plays.items.astype("f4"), TRAINED)
    return tmp_path


def export(project):
    export_bundle(project / "indexed", project / "factors", project / "bundle", ExportParams())


def test_a_later_edit_of_params_does_not_change_what_a_bundle_says(project):
    later = "als: {alpha: 99.0}\nfeedback: {min_count: 9}\n"
    run_stage("export", project, later, indexed="indexed", factors="factors", output="bundle")
    manifest = read_json(project / "bundle/manifest.json")
    assert {name: manifest[name] for name in TRAINED} == TRAINED


def test_factors_that_cannot_be_exported_are_one_sentence(project):
    plays, few = make_plays(), np.ones((2, 4), np.float32)
    users, nothing = plays.users.astype("f4"), np.zeros(plays.items.shape, "f4")
    for of_users, items, sentence in (
        (users, nothing, "all item factors are zero"),
        (few, few, "factors of 2 users and 2 tracks do not fit"),
    ):
        write_factors(project / "factors", of_users, items, TRAINED)
        with pytest.raises(MusicRecError, match=sentence):
            export(project)
    (project / "factors" / TRAINED_WITH).unlink()
    with pytest.raises(MusicRecError, match=r"params.json is missing.*dvc checkout"):
        export(project)
    assert not (project / "bundle").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_factors_at_the_ends_of_float32_are_exported_and_loaded(project, kind):
    plays = make_plays()
    items = make(kind, plays.items.shape, np.random.default_rng(0))
    write_factors(project / "factors", plays.users.astype("f4"), items, TRAINED)
    export(project)
    bundle = load_bundle(project / "bundle")
    user = bundle.users[int(np.flatnonzero(bundle.user_factors.any(axis=1))[0])]
    exact = bundle.recommend(user, 3, exclude_seen=False).tracks
    assert [one.score for one in exact] == sorted((one.score for one in exact), reverse=True)
    found = bundle.recommend(user, 3, exclude_seen=False, search_k=10**6).tracks
    assert len(found) == len(exact)
    if kind not in ("faint", "clusters"):  # whose distances Annoy's float32 cannot tell apart
        assert found == exact
    for track in bundle.tracks.texts_of(np.flatnonzero(items.any(axis=1))[:5]):
        assert all(one.id != track for one in bundle.similar_tracks(track, 3))
