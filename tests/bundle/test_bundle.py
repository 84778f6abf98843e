"""A bundle answers as the factors say, whatever it is asked."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest

from musicrec.bundle import load_bundle
from musicrec.errors import MusicRecError
from tests.support.als_reference import solve_rows
from tests.support.served import (
    ALS,
    FEEDBACK,
    LONE_USER,
    N_ITEMS,
    N_USERS,
    make_project,
    name_of,
    plays_of,
)

EXPLAINED = (
    ALS.replace(nonnegative=True),
    ALS.replace(reg_exponent=0.5, unobserved_weight=0.1, reg_unobserved=2.0),
)
NAMES = [name_of("item", item) for item in range(N_ITEMS)]


def users() -> list[int]:
    return [user for user in range(N_USERS) if user != LONE_USER]


def test_candidates_and_exclusions(bundle):
    user = name_of("user", 3)
    whole = bundle.recommend(user, N_ITEMS).track_ids
    chosen = [*whole[3:8], "a stranger"]
    found = bundle.recommend(user, 10, candidates=chosen)
    assert found.track_ids == whole[3:8]
    assert found.unknown == ("a stranger",)
    assert bundle.recommend(user, 3, candidates=iter(chosen)).track_ids == whole[3:6]
    assert bundle.recommend(user, 10, candidates=bundle.tracks.indices(chosen)) == found
    assert bundle.recommend(user, 3, exclude=whole[:2]).track_ids == whole[2:5]
    assert bundle.recommend(user, 3, exclude=whole[:2], search_k=10**6).track_ids == whole[2:5]
    nothing = bundle.recommend(user, 3, candidates=[])
    assert not nothing and "nothing is left" in nothing.note


@pytest.mark.parametrize("k", [1, 10, N_ITEMS - 8, 10**40])
@pytest.mark.parametrize("search_k", [1, 10, 10**40])
def test_a_list_through_the_index_is_as_long_as_the_exact_one(bundle, k, search_k):
    for user in ("user-0", "Sigur Rós"):
        exact, found = bundle.recommend(user, k), bundle.recommend(user, k, search_k=search_k)
        assert len(found) == len(exact)
        assert search_k < 10**6 or found == exact


def test_an_unknown_user_among_others_is_named_and_the_others_are_answered(bundle):
    first, unknown, last = bundle.recommend_many(["user-0", "nobody", 7], 5)
    assert [first, last] == [bundle.recommend("user-0", 5), bundle.recommend(7, 5)]
    assert not unknown and unknown.unknown == ("nobody",)
    assert unknown.note.startswith("user 'nobody' is not in the bundle")
    assert [answer.unknown for answer in bundle.recommend_many([404, "x"])] == [("404",), ("x",)]


def test_ids_are_sliced_as_a_list_is(bundle):
    for ids in (bundle.users, bundle.tracks):
        texts = list(ids)
        for part in (slice(5), slice(-3, None), slice(2, 99, 7), slice(None, None, -1), slice(0)):
            assert ids[part] == texts[part]
        assert (ids[0], ids[-1]) == (texts[0], texts[-1])
    with pytest.raises(IndexError, match="track 40 of 40"):
        bundle.tracks[40]


def test_folding_in_a_training_user_gives_their_factor(project, bundle):
    for user in users():
        plays = {**plays_of(project, user), "a stranger": 1}
        np.testing.assert_allclose(bundle.fold_in(plays), bundle.user_factors[user], atol=1e-4)
        answer = bundle.recommend_for_plays(plays, 5)
        assert answer.unknown == ("a stranger",) and answer.source == "factors"


def test_plays_that_say_nothing_get_popularity_and_are_told(bundle):
    listeners = np.load(bundle.root / "listeners.npy")
    popular = [NAMES[item] for item in np.argsort(-listeners, kind="stable")]
    for plays in ({}, {"a stranger": 9}, {"item-1": 1}):  # the last: below feedback.min_count
        answer = bundle.recommend_for_plays(plays, 5)
        assert answer.source == "popularity" and "most popular" in answer.note
        assert answer.track_ids == [name for name in popular if name not in plays][:5]
        assert answer[0].score == listeners.max()
    lone = bundle.recommend(name_of("user", LONE_USER), 5)
    assert lone.source == "popularity" and len(lone) == 5


def test_ids_and_counts_of_any_kind_of_whole_number(bundle):
    expected = bundle.recommend_for_plays({"item-1": 3, "7": 2}, 5)
    decimals = Decimal(3), Decimal("2.0")
    for three, two in ((np.int64(3), np.uint8(2)), (3.0, np.float32(2)), decimals):
        for seven in (7, np.int32(7), "7", np.str_("7")):
            assert bundle.recommend_for_plays({"item-1": three, seven: two}, 5) == expected
    assert bundle.recommend_for_plays({"item-1": 3, "7": 1, 7: 1}, 5) == expected
    assert bundle.recommend(7, 3) == bundle.recommend("7", 3)
    assert bundle.recommend_for_plays({"\ud800": 3}, 3).unknown == ("\ud800",)  # no text of UTF-8
    huge = bundle.recommend_for_plays({"item-1": 2**63 - 1, "item-2": 2}, 5)
    assert len(huge) == 5 and all(math.isfinite(found.score) for found in huge)


@pytest.mark.parametrize("wrong", [0, -1, 2.5, math.nan, math.inf, True, "3", None, 10**60, [3]])
def test_other_counts_are_refused(bundle, wrong):
    with pytest.raises(MusicRecError, match="play count of item-1 "):
        bundle.recommend_for_plays({"item-1": wrong})


@pytest.mark.parametrize("wrong", [True, 2.0, None, b"item-1", ("item-1",)])
def test_an_id_of_a_type_that_cannot_be_is_told_so(bundle, wrong):
    with pytest.raises(MusicRecError, match="an id is text or a whole number"):
        bundle.recommend(wrong)
    with pytest.raises(MusicRecError, match="an id is text or a whole number"):
        bundle.recommend_for_plays({wrong: 3})


def test_mistakes_are_one_sentence_and_name_no_folder(bundle):
    """A service gives them to whoever asks."""
    for wrong, sentence in (
        (lambda: bundle.recommend("nobody"), "user 'nobody' is not in"),
        (lambda: bundle.similar_users("nobody"), "user 'nobody' is not in"),
        (lambda: bundle.explain("user-0", "nobody"), "track 'nobody' is not in"),
        (lambda: bundle.recommend("user-0", -1), "k is -1, not a whole number of at least 0"),
        (lambda: bundle.recommend("user-0", math.nan), "k is nan"),
        (lambda: bundle.recommend("user-0", search_k=0), "search_k is 0"),
        (lambda: bundle.recommend("user-0", diversity=1.5), "is 1.5, not a number from 0 to 1"),
        (lambda: bundle.recommend("user-0", candidates="item-1"), r"write \['item-1'\]"),
        (lambda: bundle.recommend_for_plays(["item-1"]), "a mapping of ids to counts"),
        (lambda: bundle.similar_tracks(np.ones(5)), "6 finite numbers"),
        (lambda: bundle.similar_tracks(np.full(6, np.nan)), "6 finite numbers"),
    ):
        with pytest.raises(MusicRecError, match=sentence) as caught:
            wrong()
        assert "/" not in str(caught.value)
    with pytest.raises(TypeError, match="'lenght'"):
        bundle.recommend("user-0", lenght=3)


def cosine_order(vectors: np.ndarray, query: np.ndarray) -> list[int]:
    norms = np.linalg.norm(vectors.astype(float), axis=1)
    cosines = np.full(len(vectors), -np.inf)
    cosines[norms > 0] = (vectors @ query)[norms > 0] / norms[norms > 0]
    return [int(row) for row in np.argsort(-cosines) if norms[row] > 0]


def test_similar_tracks_and_users_are_those_of_the_largest_cosine(bundle):
    for item in range(N_ITEMS):
        order = cosine_order(bundle.item_factors, bundle.item_factors[item])
        found = bundle.similar_tracks(NAMES[item], 5)
        assert [one.id for one in found] == [NAMES[i] for i in order if i != item][:5]
        assert bundle.similar_tracks(bundle.item_factors[item], 1)[0].id == NAMES[item]
    order = cosine_order(bundle.user_factors, bundle.user_factors[3])
    found = bundle.similar_users("user-3", 10**9)
    assert [one.id for one in found] == [name_of("user", u) for u in order if u != 3]
    assert all(-1 <= one.similarity <= 1 for one in found)
    assert bundle.similar_users(name_of("user", LONE_USER)) == ()


@pytest.mark.parametrize(("reg_unobserved", "weight"), [(0.0, 1.0), (0.5, 0.2)])
def test_folding_in_is_the_minimum_of_the_objective(reg_unobserved, weight, tmp_path):
    """Users and tracks; N is all users or tracks of the bundle, not those that are folded in."""
    als = ALS.replace(reg_unobserved=reg_unobserved, unobserved_weight=weight, max_iter=2)
    bundle = load_bundle(make_project(tmp_path, als) / "bundle")
    for kind, ids, fixed, fold in (
        ("item", bundle.tracks, bundle.item_factors, bundle.fold_in),
        ("user", bundle.users, bundle.user_factors, bundle.fold_in_track),
    ):
        named = {f"{kind}-1": 5, f"{kind}-2": 3, "-dash": 9, "nobody": 4}
        r = np.zeros(len(ids))
        for name, count in named.items():
            if name != "nobody":
                r[ids.index(name)] = np.log1p(count)
        expected = solve_rows(r[None], fixed.astype(float), als)[0]
        np.testing.assert_allclose(fold(named), expected, rtol=1e-4, atol=1e-6)
    assert not bundle.fold_in_track({"nobody": 3}).any()


@pytest.mark.parametrize("als", EXPLAINED)
def test_the_parts_of_an_explanation_sum_to_the_score(als, tmp_path):
    root = make_project(tmp_path, als)
    bundle = load_bundle(root / "bundle")
    for user in users():
        name, plays = name_of("user", user), plays_of(root, user)
        track = bundle.recommend(name, 1)[0].track_id
        for why in (bundle.explain(name, track), bundle.explain_for_plays(plays, track)):
            kept = {track: n for track, n in plays.items() if n >= FEEDBACK.min_count}
            assert {part.track_id: part.count for part in why.plays} == kept
            total = sum(part.part for part in why.plays)
            assert total + why.remainder == pytest.approx(why.score, abs=1e-12)
            assert abs(why.remainder) < 1e-4 * max(abs(part.part) for part in why.plays)
            item = NAMES.index(track)
            score = float(bundle.item_factors[item] @ bundle.user_factors[user])
            assert why.score == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("weight", [0.3, 0.7, 1.0])
def test_a_diverse_list_is_that_of_maximal_marginal_relevance(bundle, weight):
    unit = bundle.item_factors / np.linalg.norm(bundle.item_factors, axis=1, keepdims=True)
    cosines = dict(
        zip(NAMES, [dict(zip(NAMES, row, strict=True)) for row in unit @ unit.T], strict=True)
    )
    for user in users():
        plain = bundle.recommend(name_of("user", user), N_ITEMS)
        relevance = {one.track_id: (1 - weight) * one.score / plain[0].score for one in plain}
        expected = [plain[0].track_id]
        while len(expected) < 8:
            del relevance[expected[-1]]
            values = [
                relevance[track] - weight * max(cosines[track][above] for above in expected)
                for track in relevance
            ]
            expected.append([*relevance][int(np.argmax(values))])
        found = bundle.recommend(name_of("user", user), 8, diversity=weight)
        assert found.track_ids == expected
