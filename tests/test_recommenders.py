"""What every recommender here has to do, on a checkerboard whose answers are known.

User u and track t, both below 10, have one colour where u + t is even. A user has played the
tracks of the user's own colour, but for track u. Tracks 10 and 11 nobody has played, tracks 12 and
13 are twins with the same listeners, and user 10 has played nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from musicrec.als.fit import fit
from musicrec.baselines.ease import recommend_ease
from musicrec.baselines.neighbours import recommend_neighbours
from musicrec.baselines.popularity import recommend_popular
from musicrec.interactions.matrix import Interactions, from_triples
from musicrec.jit.parallel import using_threads
from musicrec.params import ALSParams, BaselinesParams
from musicrec.search.exact import ExactIndex

N, UNPLAYED, TWINS, TWINS_LISTENERS = 10, {10, 11}, (12, 13), (0, 2)
EMPTY_USER, N_USERS, N_TRACKS = 10, 11, 14
K = 50  # beyond the catalogue
ALS = ALSParams(rank=4, alpha=5.0, reg_param=0.05, max_iter=10)


def checkerboard() -> Interactions:
    rows = [(u, t) for u in range(N) for t in range(N) if (u + t) % 2 == 0 and u != t]
    rows += [(u, t) for u in TWINS_LISTENERS for t in TWINS]
    users, tracks = np.array(rows, np.int32).T
    return from_triples(users, tracks, np.ones(len(rows)), N_USERS, N_TRACKS)


PLAYS = checkerboard()


def by_popularity() -> np.ndarray:
    return recommend_popular(PLAYS, PLAYS, K)


def by_neighbours() -> np.ndarray:
    return recommend_neighbours(PLAYS, PLAYS, K, 20)


def by_exact_ease() -> np.ndarray:
    return recommend_ease(PLAYS, PLAYS, K, BaselinesParams(ease_reg=1.0))


def by_sparse_ease() -> np.ndarray:
    params = BaselinesParams(ease_reg=1.0, ease_exact=0, neighbours=20)
    return recommend_ease(PLAYS, PLAYS, K, params)


def by_factors(users: np.ndarray, tracks: np.ndarray) -> np.ndarray:
    seen = (PLAYS.indptr, PLAYS.indices)
    return ExactIndex(tracks).search(users, K, exclude=seen)[0]


def by_als(**changes: object) -> Callable[[], np.ndarray]:
    def lists() -> np.ndarray:
        factors = fit(PLAYS, ALS.model_copy(update=changes))
        return by_factors(factors.users, factors.items)

    return lists


RECOMMENDERS = {
    "popularity": by_popularity,
    "neighbours": by_neighbours,
    "EASE": by_exact_ease,
    "sparse EASE": by_sparse_ease,
    "ALS": by_als(),
    "signed ALS": by_als(nonnegative=False),
    "ALS by conjugate gradients": by_als(nonnegative=False, solver="cg"),
    "MLlib": None,
}


@dataclass(frozen=True)
class Recommender:
    name: str
    recommend: Callable[[], np.ndarray]
    lists: np.ndarray  # on one thread

    @property
    def personal(self) -> bool:
        return self.name != "popularity"


@pytest.fixture(scope="module", params=RECOMMENDERS)
def recommender(request: pytest.FixtureRequest) -> Recommender:
    recommend = RECOMMENDERS[request.param]
    if recommend is None:
        recommend = mllib(request.getfixturevalue("spark"))
    return Recommender(request.param, recommend, recommend())


def mllib(spark) -> Callable[[], np.ndarray]:
    from musicrec.train.mllib import checkpoints, fit_frame

    users = np.repeat(np.arange(N_USERS), PLAYS.lengths)
    rows = [(int(u), int(t), 1.0) for u, t in zip(users, PLAYS.indices, strict=True)]

    plays = spark.createDataFrame(rows, "user int, item int, r float")
    plays = plays.repartition(2, "user").sortWithinPartitions("user", "item")
    with checkpoints(spark):
        factors = fit_frame(plays, N_USERS, N_TRACKS, ALS)
    return lambda: by_factors(*factors)


def listed(row: np.ndarray) -> list[int]:
    return row[row >= 0].tolist()


def test_the_first_track_is_the_one_left_out(recommender: Recommender) -> None:
    for user in range(N):
        unseen = [t for t in range(N) if t not in PLAYS.row(user)]
        expected = user if recommender.personal else min(unseen)
        assert recommender.lists[user, 0] == expected


def test_a_list_is_padded_at_its_end_and_holds_each_unseen_track_once(
    recommender: Recommender,
) -> None:
    assert recommender.lists.shape == (N_USERS, K) and recommender.lists.dtype == np.int32
    for user, row in enumerate(recommender.lists):
        tracks = listed(row)
        assert row.tolist() == tracks + [-1] * (K - len(tracks))
        assert len(set(tracks)) == len(tracks)
        assert not set(tracks) & set(PLAYS.row(user).tolist())


def test_a_track_that_nobody_has_played_is_never_recommended(recommender: Recommender) -> None:
    assert not UNPLAYED & set(recommender.lists.ravel().tolist())


def test_twins_stand_side_by_side_the_lower_id_first(recommender: Recommender) -> None:
    first, second = TWINS
    listeners = [u for u in range(0, N, 2) if u not in TWINS_LISTENERS]
    for user in listeners:
        tracks = listed(recommender.lists[user])
        assert tracks.index(second) == tracks.index(first) + 1


def test_a_user_without_plays_gets_what_is_popular_or_nothing(recommender: Recommender) -> None:
    everything = [*range(N), *TWINS]
    assert listed(recommender.lists[EMPTY_USER]) == ([] if recommender.personal else everything)


def test_the_same_lists_for_any_number_of_threads(recommender: Recommender) -> None:
    for threads in (2, 3):
        with using_threads(threads):
            np.testing.assert_array_equal(recommender.recommend(), recommender.lists)
