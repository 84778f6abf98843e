"""Whether training knows the users and tracks that are held out, or calls them something else."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from musicrec.errors import MusicRecError
from musicrec.ingest.splits.summary import Contents
from musicrec.params import DataParams
from musicrec.spark.parts import read_parts

if TYPE_CHECKING:
    from pyspark.sql import Column, SparkSession

_LEAST = 0.05  # share of held-out users, or tracks, that training must know


def require_overlap(
    spark: SparkSession, summary: dict[str, Any], params: DataParams, folder: Path
) -> None:
    """Stop where training knows hardly any held-out user or track.

    Nothing could be recommended to the users, or nothing of what they played, and every metric
    would be near 0. Most often ids were written in two ways, such as `12` and `12.0`.

    Parameters
    ----------
    summary : dict
        What `summary.describe_splits` says of the splits.
    folder : Path
        Holds them.

    Raises
    ------
    MusicRecError
        Under 5 % are known; the sentence shows two ids side by side.
    """
    for split, role, known in strangers(summary, params):
        ours, theirs = _two_ids(spark, folder, split, f"{role}_id")
        column = getattr(params.columns, role)
        raise MusicRecError(
            f"{params.source}: train has {known:,} of the {summary[split][f'{role}s']:,} {role}s "
            f"of {split} (column {column!r}), such as {ours!r} in train and {theirs!r} in "
            f"{split}; write the ids of all splits in the same form"
        )


def strangers(summary: dict[str, Any], params: DataParams) -> Iterator[tuple[str, str, int]]:
    """Yield split, role and number of those known, where training knows hardly any."""
    if params.protocol != "given":  # of one table, whose ids all have one form
        return
    for split in ("validation", "test"):
        described = summary[split]
        for role in ("user", "track"):
            known = described[f"{role}s"] - described[f"cold_{role}s"]
            if known < _LEAST * described[f"{role}s"]:
                yield split, role, known


def warn_of_ids(contents: dict[str, Contents], params: DataParams) -> None:
    """Say on standard error where ids are what programs made of others.

    That is `12` beside `12.0`, of tables of which some have gaps, and `1.23457E+11`, which a
    spreadsheet rounded.

    Parameters
    ----------
    contents : dict
        Of the splits.
    """
    for role in ("user", "track"):
        ids = [getattr(found, f"{role}s") for found in contents.values()]
        title = f"warning: {params.source}: column {getattr(params.columns, role)!r} has"
        twice = _in_two_forms(ids)
        if len(twice):
            first = pc.min(twice).as_py()
            print(
                f"{title} {role}s in two forms, {len(twice):,} of them such as "
                f"{first.split('.')[0]} and {first}, which are two {role}s here; write them in one",
                file=sys.stderr,
            )
        rounded = _matching(ids, ("E+", "e+"), r"^[0-9]([.,][0-9]+)?[eE]\+[0-9]+$")
        if len(rounded):
            print(
                f"{title} {role}s that a spreadsheet may have rounded, {len(rounded):,} of them "
                f"such as {pc.min(rounded)}, so that several are one; export them as text",
                file=sys.stderr,
            )


def _in_two_forms(ids: list[pa.Array]) -> pa.Array:
    """The ids such as `12.0` whose `12` is there too."""
    floats = _matching(ids, (".0",), r"^-?[0-9]+\.0+$")
    if not len(floats):
        return floats
    whole = pc.replace_substring_regex(floats, r"\.0+$", "")
    return floats.filter(
        functools.reduce(pc.or_, (pc.is_in(whole, value_set=some) for some in ids))
    )


def _matching(ids: list[pa.Array], signs: tuple[str, ...], pattern: str) -> pa.Array:
    """Ids that match a pattern, which is tried only where one of the signs is in them."""
    found = []
    for some in ids:
        near = functools.reduce(pc.or_, (pc.match_substring(some, sign) for sign in signs))
        some = some.filter(near)
        found.append(some.filter(pc.match_substring_regex(some, pattern)))
    return pc.unique(pa.concat_arrays(found))


def _two_ids(spark: SparkSession, folder: Path, split: str, column: str) -> tuple[str, str]:
    """An id of training and one of the split: of the same plain form, where there are such."""
    from pyspark.sql import functions as F

    def ids(name: str) -> Any:
        frame = read_parts(spark, folder / name)
        return frame.select(F.col(column).alias(name), _plain(F.col(column)).alias("plain"))

    held = ids(split).join(ids("train"), F.col(split) == F.col("train"), "left_anti")
    pairs = held.join(ids("train"), "plain")
    both = pairs.agg(F.min(F.struct("train", split)).alias("pair")).first()
    if both.pair:
        return both.pair["train"], both.pair[split]
    return (
        ids("train").agg(F.min("train")).first()[0],
        held.agg(F.min(split)).first()[0],
    )


def _plain(text: Column) -> Column:
    """An id without what tools change: case, zeros and signs around it, decimals of floats."""
    from pyspark.sql import functions as F

    bare = F.regexp_replace(F.lower(text), r"\.0+$", "")
    return F.regexp_replace(bare, r"^[^\p{L}\p{N}]*0*|[^\p{L}\p{N}]+$", "")
