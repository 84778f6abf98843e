"""Choice by hash: the same rows are chosen on any machine, in any order, at any size."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import Column

_BITS = 53  # a double holds every whole number of 53 bits, so the division below is exact


def hash_fraction(seed: int, *columns: str | Column, salt: str) -> Column:
    """Map (seed, salt, columns) to a number in [0, 1) that looks uniform.

    `hash_fraction(seed, "user_id", salt="downsample") < fraction` keeps that share of the users,
    and a larger fraction keeps the same ones and more. Unlike `sample()` and `randomSplit`, the
    choice does not follow the order or the partitions of the rows.

    Parameters
    ----------
    seed : int
        The stage's seed.
    *columns : str or Column
        What is chosen, by name or as columns: the string ids.
    salt : str
        Names the purpose. Two choices with one seed and different salts are independent: with
        one salt, the users kept by downsampling would all come from the low end of the hash.

    Returns
    -------
    Column
        double. The top 53 bits of Spark's `xxhash64`, divided by 2^53.
    """
    from pyspark.sql import functions as F

    digest = F.xxhash64(F.lit(seed).cast("long"), F.lit(salt), *columns)
    return F.shiftrightunsigned(digest, 64 - _BITS).cast("double") / F.lit(float(2**_BITS))
