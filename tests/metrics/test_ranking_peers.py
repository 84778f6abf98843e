"""Agreement with Spark; for ranx see tests/evaluate/test_lists.py.

The `spark` protocol promises Spark's numbers to 1e-9. The cases hold what real lists do: short and
empty lists, empty truth, truth longer than k, tracks twice in a list or in the truth.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.metrics.test_ranking import score

K = (1, 10, 60)
WIDTH = 50


def make_cases():
    """Lists and truths of 400 users over 200 tracks, as Python lists."""
    rng = np.random.default_rng(5)
    lists, truths = [], []
    for _ in range(400):
        length = rng.choice([WIDTH, WIDTH, rng.integers(0, WIDTH)])
        lists.append(rng.permutation(200)[:length].tolist())
        truths.append(sorted(rng.permutation(200)[: rng.choice([1, 5, 40, 80])].tolist()))
    truths[0], lists[1] = [], []
    truths[2] = lists[2] = list(range(WIDTH))
    return lists, truths


def spark_means(spark, lists, truths):
    from pyspark.mllib.evaluation import RankingMetrics

    pairs = [(list(map(float, a)), list(map(float, b))) for a, b in zip(lists, truths, strict=True)]
    theirs = RankingMetrics(spark.sparkContext.parallelize(pairs, 2))
    means = {"map": theirs.meanAveragePrecision}
    for k in K:
        means[f"map@{k}"] = theirs.meanAveragePrecisionAt(k)
        means[f"precision@{k}"] = theirs.precisionAt(k)
        means[f"recall@{k}"] = theirs.recallAt(k)
        means[f"ndcg@{k}"] = theirs.ndcgAt(k)
    return means


def our_means(lists, truths):
    columns = score(lists, truths, K)
    columns["map"] = score(lists, truths, [1000])["map@1000"]  # of the whole list, by |T|
    spark_lacks = ("calibrated_recall", "r_precision", "hit_rate", "reciprocal_rank")
    return {name: v.mean() for name, v in columns.items() if not name.startswith(spark_lacks)}


def test_means_equal_those_of_spark(spark):
    duplicates = [[1, 1, 2, 3], [4, 5, 4], [7]], [[1, 1, 3], [4, 4], [7, 7, 7, 8]]
    for case in (make_cases(), duplicates):
        assert our_means(*case) == pytest.approx(spark_means(spark, *case), rel=1e-9)
