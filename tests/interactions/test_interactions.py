"""Sparse rows against SciPy, and the refusal of indices out of range."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import Interactions, from_triples, read_interactions
from musicrec.storage.files import write_checksums
from musicrec.storage.parquet import write_table

N_USERS, N_ITEMS = 7, 5
pairs = st.sets(st.tuples(st.integers(0, N_USERS - 1), st.integers(0, N_ITEMS - 1)))


def build(plays: set[tuple[int, int]], seed: int = 0) -> tuple[Interactions, sp.csr_matrix]:
    rows = np.array(sorted(plays), dtype=np.int32).reshape(-1, 2)
    np.random.default_rng(seed).shuffle(rows)
    counts = np.arange(1, len(rows) + 1)
    made = from_triples(rows[:, 0], rows[:, 1], counts, N_USERS, N_ITEMS)
    reference = sp.csr_matrix((counts, (rows[:, 0], rows[:, 1])), (N_USERS, N_ITEMS))
    reference.sort_indices()
    return made, reference


def assert_same(made: Interactions, reference: sp.csr_matrix) -> None:
    np.testing.assert_array_equal(made.indptr, reference.indptr)
    np.testing.assert_array_equal(made.indices, reference.indices)
    np.testing.assert_array_equal(made.counts, reference.data)
    assert (made.indptr.dtype, made.indices.dtype, made.counts.dtype) == (
        np.int64,
        np.int32,
        np.float32,
    )


@given(pairs, st.integers(0, 9), st.lists(st.integers(0, N_USERS - 1)))
def test_build_transpose_and_rows_agree_with_scipy(plays, seed, users):
    made, reference = build(plays, seed)
    assert_same(made, reference)
    transposed = reference.T.tocsr()
    transposed.sort_indices()
    assert_same(made.transpose(), transposed)
    chosen = np.array(users, dtype=np.int64)
    assert_same(made.rows(chosen), reference[chosen] if len(users) else sp.csr_matrix((0, N_ITEMS)))


def test_an_index_out_of_range_is_refused():
    one = np.array([1], dtype=np.int32)
    with pytest.raises(MusicRecError, match="item index outside 0 to 0"):
        from_triples(one, one, one, 2, 1)
    with pytest.raises(MusicRecError, match="user index outside"):
        from_triples(-one, one, one, 2, 2)


def test_read_interactions_joins_the_parts(tmp_path):
    for part, user in ((0, 1), (1, 0)):
        columns = {
            "user": pa.array([user, user], pa.int32()),
            "item": pa.array([2, 0], pa.int32()),
            "count": pa.array([3, 4], pa.int64()),
        }
        write_table(tmp_path / f"part-{part:05d}.parquet", pa.table(columns))
    write_checksums(tmp_path)
    made = read_interactions(tmp_path, 2, 3)
    assert made.row(0).tolist() == [0, 2]
    assert made.counts.tolist() == [4, 3, 4, 3]
