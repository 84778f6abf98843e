"""What the solver sees of a play count."""

import numpy as np
import pytest

from musicrec.als.feedback import training_ratings
from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import from_triples
from musicrec.params import FeedbackParams

PLAYS = from_triples(np.array([0, 0, 1, 2]), np.array([0, 2, 2, 1]), np.array([1, 5, 2, 1]), 4, 3)


@pytest.mark.parametrize(
    ("params", "kept", "counts"),
    [
        (FeedbackParams(), [0, 1, 2, 3], [1, 5, 2, 1]),
        (FeedbackParams(transform="log1p"), [0, 1, 2, 3], np.log([2, 6, 3, 2])),
        (FeedbackParams(min_count=2), [1, 2], [5, 2]),
        (FeedbackParams(min_count=2, transform="log1p"), [1, 2], np.log([6, 3])),
    ],
)
def test_counts_are_chosen_then_transformed_and_the_shape_stays(params, kept, counts):
    ratings = training_ratings(PLAYS, params)
    assert (ratings.n_users, ratings.n_items) == (4, 3)
    np.testing.assert_array_equal(ratings.indptr, np.searchsorted(kept, PLAYS.indptr))
    np.testing.assert_array_equal(ratings.indices, PLAYS.indices[kept])
    np.testing.assert_allclose(ratings.counts, counts, rtol=1e-6)
    assert ratings.counts.dtype == np.float32


def test_a_half_life_halves_counts_by_age_after_min_count_and_before_the_transform():
    """Ages of 0, 1, 3 and 5,000 days: what is left of the counts 1, 5, 2 and 1 by hand."""
    ages = np.array([0, 1, 3, 5000]) * 86_400
    left = training_ratings(PLAYS, FeedbackParams(half_life="24h"), ages)
    np.testing.assert_allclose(left.counts[:3], [1, 2.5, 0.25], rtol=1e-6)
    assert 0 < left.counts[3] < 1e-37  # still a play
    both = FeedbackParams(half_life="2d", transform="log1p", min_count=2)
    expected = np.log1p([5 * 2**-0.5, 2 * 2**-1.5])
    np.testing.assert_allclose(training_ratings(PLAYS, both, ages).counts, expected, rtol=1e-6)
    np.testing.assert_array_equal(
        training_ratings(PLAYS, both).counts, np.log1p([5, 2], dtype="f4")
    )


def test_no_play_left():
    with pytest.raises(MusicRecError, match=r"feedback\.min_count = 6; lower it"):
        training_ratings(PLAYS, FeedbackParams(min_count=6))
