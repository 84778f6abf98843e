"""The product's Annoy index: exact where it must be, the same bytes every time."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from musicrec.errors import MusicRecError
from musicrec.interactions.factors import norms_of
from musicrec.params import ExportParams
from musicrec.search import annoy_index
from musicrec.search.annoy_index import HEAD_SHARE, AnnoyIndex, augment, build_index
from musicrec.search.exact import ExactIndex
from tests.support.extreme_factors import extreme_factors

ROOT = Path(__file__).resolve().parents[2]
N, RANK = 3_000, 12


def skewed(n=N, rank=RANK, seed=0):
    """Items of very different norms, as play counts give."""
    rng = np.random.default_rng(seed)
    items = rng.gamma(0.3, size=(n, rank)) * np.exp(rng.normal(size=(n, 1)))
    return items.astype(np.float32), rng.gamma(0.3, size=(20, rank)).astype(np.float32)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    items, queries = skewed()
    path = tmp_path_factory.mktemp("index") / "index.ann"
    build_index(items, path, ExportParams(n_trees=5, seed=42))
    return items, queries, AnnoyIndex(path, items), path


def make(folder, items, n_trees=1, seed=0):
    build_index(items, folder / "index.ann", ExportParams(n_trees=n_trees, seed=seed))
    return AnnoyIndex(folder / "index.ann", items)


def recall(index, exact, queries, k, search_k):
    hits = 0
    for query in queries:
        found = set(index.search(query, k, search_k)[0].tolist())
        hits += len(found & set(exact.search_one(query, k)[0].tolist()))
    return hits / (k * len(queries))


def test_recall_rises_with_search_k(built):
    items, queries, index, _ = built
    exact = ExactIndex(items)
    recalls = [recall(index, exact, queries, 100, s) for s in (1, 100, 500, 2_000, 5 * N)]
    assert recalls == sorted(recalls) and len(set(recalls)) > 2
    assert recalls[-1] == 1.0


def test_scores_are_those_of_the_exact_search(built):
    items, queries, index, _ = built
    for query in queries:
        ids, scores = index.search(query, 50, 200)
        truth = dict(zip(*ExactIndex(items).search_one(query, N), strict=True))
        assert [truth[item] for item in ids] == scores.tolist()
        assert len(set(ids.tolist())) == len(ids)
        assert (np.diff(scores) <= 0).all()


def test_a_rebuilt_index_has_the_same_bytes(built, tmp_path):
    items, _, _, path = built
    build_index(items, tmp_path / "again.ann", ExportParams(n_trees=5, seed=42))
    assert (tmp_path / "again.ann").read_bytes() == path.read_bytes()
    build_index(items, tmp_path / "other.ann", ExportParams(n_trees=5, seed=43))
    assert (tmp_path / "other.ann").read_bytes() != path.read_bytes()


def test_a_head_that_no_other_item_can_beat_answers_alone(tmp_path):
    items = np.full((640, 2), 1e-3, np.float32)
    n_head = int(640 * HEAD_SHARE)
    items[100 : 100 + n_head] = 1
    ids, _ = make(tmp_path, items).search(np.ones(2), n_head, 1)
    assert ids.tolist() == list(range(100, 100 + n_head))


def test_mistakes_are_one_sentence(built, tmp_path):
    items, queries, index, path = built
    (tmp_path / "cut.ann").write_bytes(path.read_bytes()[:1001])
    with pytest.raises(MusicRecError, match="does not fit"):
        AnnoyIndex(path, items[:100])
    missing, cut = tmp_path / "missing.ann", tmp_path / "cut.ann"
    for arguments in ((path, items[:, :5]), (missing, items), (cut, items)):
        with pytest.raises(MusicRecError, match="not an Annoy index"):
            AnnoyIndex(*arguments)
    for factors, said in ((np.zeros((4, 2)), "factors are zero"), ([[1.0], [np.nan]], "row 1")):
        with pytest.raises(MusicRecError, match=said):
            build_index(np.array(factors), tmp_path / "none.ann", ExportParams())
    nan = np.full(RANK, np.nan)
    for query, k, said in (
        (queries[0, :5], 1, "rank 12"),
        (queries[0], 0, "k = 0"),
        (nan, 1, "NaN"),
    ):
        with pytest.raises(MusicRecError, match=said):
            index.search(query, k, 10)


@settings(max_examples=150, deadline=None)
@given(extreme_factors(), st.integers(0, 2**31 - 1))
def test_any_finite_factors_give_an_index_that_finds_every_item(items, seed):
    """One tree whose every node is inspected: the exact answer, scores and ties and all."""
    rng = np.random.default_rng(seed)
    exact = ExactIndex(items)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "index.ann"
        if not items.any():
            with pytest.raises(MusicRecError, match="all item factors are zero"):
                build_index(items, path, ExportParams(n_trees=1, seed=0))
            return
        build_index(items, path, ExportParams(n_trees=1, seed=seed))
        index = AnnoyIndex(path, items)
        assert index.n_items == items.any(axis=1).sum()
        for scale in (0, 1e-44, 1e-30, 1, 1e7):
            query = (rng.normal(size=items.shape[1]) * scale).astype(np.float32)
            got, want = index.search(query, len(items), len(items)), exact.search_one(query, 400)
            assert [part.tobytes() for part in got] == [part.tobytes() for part in want]


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_items_whose_differences_have_no_square_in_float32(tmp_path, rank):
    """As of Last.fm at rank 5: a few tracks whose factors are nearly zero."""
    rng = np.random.default_rng(0)
    items, queries = skewed(4_000, rank)
    faint = rng.random(len(items)) < 0.5
    items[faint] *= 10.0 ** rng.uniform(-26, -18, (faint.sum(), 1)).astype(np.float32)
    items[rng.random(len(items)) < 0.2] = items[faint][0]
    index = make(tmp_path, items, 10)
    assert recall(index, ExactIndex(items), queries, 50, 1_000) > 0.95


def test_many_trees_over_few_items_are_asked_for_more_nodes(tmp_path):
    """They lead to the same items again and again, which is no fault of Annoy's."""
    items, queries = skewed(60)
    index = make(tmp_path, items, 2_000)
    first = [len(index.near(query, 40, annoy_index.PROBED)) for query in queries]
    assert min(first) < 40
    assert [len(index.probe(query, 40)) for query in queries] == [40] * len(queries)


def test_scores_that_overflow_are_refused(tmp_path):
    items = np.full((2, 2), 1e17, np.float32)  # too few for an exact head
    build_index(items, tmp_path / "index.ann", ExportParams())
    with pytest.raises(MusicRecError, match="overflow"):
        AnnoyIndex(tmp_path / "index.ann", items).search(np.full(2, 1e22), 1, 10)


def test_the_nearest_augmented_vector_is_that_of_the_largest_inner_product() -> None:
    rng = np.random.default_rng(0)
    items, query = rng.normal(size=(50, 3)).astype(np.float32), rng.normal(size=3)
    norms = norms_of(items)
    np.testing.assert_allclose(norms, np.linalg.norm(items, axis=1))
    augmented = augment(items, norms, norms.max())
    np.testing.assert_allclose(np.linalg.norm(augmented, axis=1), norms.max())
    distances = np.linalg.norm(augmented - [*query, 0.0], axis=1)
    assert np.argsort(distances).tolist() == np.argsort(-(items @ query)).tolist()


def test_another_build_of_annoy_is_told_in_a_sentence(monkeypatch, capsys):
    assert annoy_index.is_reproducible(), "run make setup"
    annoy_index.warn_of_another_build()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(annoy_index, "KNOWN_SHA256", "0" * 64)
    annoy_index.is_reproducible.cache_clear()
    annoy_index.warn_of_another_build()
    said = capsys.readouterr().err
    assert said.startswith("warning: the installed Annoy") and said.count("\n") == 1
    assert "run make setup" in said
    annoy_index.is_reproducible.cache_clear()


def test_the_command_by_hand_has_the_flags_of_make_setup():
    pattern = r"ANNOY_COMPILER_ARGS=(\S+)"
    by_setup = re.findall(pattern, (ROOT / "scripts/setup.sh").read_text())
    by_hand = re.findall(pattern, (ROOT / "docs/ann.md").read_text())
    assert len(by_setup) == 1 and by_hand == by_setup
