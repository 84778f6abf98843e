"""Agreement with implicit and irspack where definitions agree, and how they differ elsewhere.

Both are part of the bench extra; without them these tests skip. For ranx see
tests/evaluate/test_lists.py, for Spark test_ranking_spark.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tests.metrics.test_ranking_spark import K, make_cases, ours

WITHOUT = "is part of the bench extra: make setup-bench"


def test_agreement_with_implicit_where_definitions_agree():
    """MAP and nDCG agree; implicit's precision divides all hits by the sum of min(k, |T|)."""
    evaluation = pytest.importorskip("implicit.evaluation", reason=f"implicit {WITHOUT}")
    lists, truths = make_cases()
    kept = [u for u in range(len(lists)) if truths[u]]  # implicit leaves the others out
    lists, truths = [lists[u] for u in kept], [truths[u] for u in kept]
    scores = ours(lists, truths)
    rows = np.repeat(np.arange(len(truths)), [len(truth) for truth in truths])
    flat = np.concatenate(truths)
    held_out = csr_matrix((np.ones(len(flat)), (rows, flat)), shape=(len(truths), 200))

    class Recommender:
        """Hands out the lists; implicit pads short ones itself with -1."""

        def recommend(self, users, _plays, N):
            padded = [(lists[user] + [-1] * N)[:N] for user in users]
            return np.array(padded, np.int32), None

    sizes = np.array([len(truth) for truth in truths])
    for column, k in enumerate(scores.k):
        theirs = evaluation.ranking_metrics_at_k(
            Recommender(), held_out, held_out, K=k, show_progress=False
        )
        assert theirs["map"] == pytest.approx(scores["map"][:, column].mean(), rel=1e-9)
        assert theirs["ndcg"] == pytest.approx(scores["ndcg"][:, column].mean(), rel=1e-9)
        hits = scores["precision"][:, column] * k
        assert theirs["precision"] == pytest.approx(hits.sum() / np.minimum(sizes, k).sum())


def test_calibrated_recall_is_the_recall_of_published_tables():
    """irspack computes Recall@k as Liang et al. do when told to (`recall_with_cutoff`)."""
    irspack = pytest.importorskip("irspack", reason=f"irspack {WITHOUT}")
    lists, truths = make_cases()
    kept = [u for u in range(len(lists)) if truths[u] and len(lists[u]) >= max(K[:2])]
    lists, truths = [lists[u] for u in kept], [truths[u] for u in kept]
    columns = ours(lists, truths).columns()
    rows = np.repeat(np.arange(len(truths)), [len(truth) for truth in truths])
    held_out = csr_matrix(
        (np.ones(len(rows)), (rows, np.concatenate(truths))), shape=(len(truths), 200)
    )
    scores = np.zeros(held_out.shape)
    for user, items in enumerate(lists):
        scores[user, items] = np.arange(len(items), 0, -1) + 1.0
    for calibrated, name in ((True, "calibrated_recall"), (False, "recall")):
        for k in K[:2]:
            evaluator = irspack.Evaluator(held_out, cutoff=k, recall_with_cutoff=calibrated)
            theirs = evaluator._get_metrics(scores, k, 0).as_dict()["recall"]
            assert theirs == pytest.approx(columns[f"{name}@{k}"].mean(), rel=1e-9)
