"""Norms, and the dimension that makes them equal."""

from __future__ import annotations

import numpy as np

from musicrec.interactions.factors import norms_of
from musicrec.search.vectors import augment, by_falling_norm


def test_the_nearest_augmented_vector_is_that_of_the_largest_inner_product() -> None:
    rng = np.random.default_rng(0)
    items, query = rng.normal(size=(50, 3)).astype(np.float32), rng.normal(size=3)
    norms = norms_of(items)
    np.testing.assert_allclose(norms, np.linalg.norm(items, axis=1))
    augmented = augment(items, norms, norms.max())
    np.testing.assert_allclose(np.linalg.norm(augmented, axis=1), norms.max())
    distances = np.linalg.norm(augmented - [*query, 0.0], axis=1)
    assert np.argsort(distances).tolist() == np.argsort(-(items @ query)).tolist()


def test_rows_by_falling_norm_leave_out_those_of_norm_zero() -> None:
    assert by_falling_norm(np.array([1.0, 0.0, 3.0, 1.0])).tolist() == [2, 0, 3]
