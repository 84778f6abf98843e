"""Delimited text through Spark: the mapped fields of every line that is not a header."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from musicrec.errors import MusicRecError
from musicrec.ingest.formats.header import column_position
from musicrec.ingest.formats.text_layout import TextLayout
from musicrec.params.data import ROLES, ColumnParams

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

_BOM = "\ufeff"


def read_text(
    spark: SparkSession,
    layout: TextLayout,
    uris: list[str],
    columns: ColumnParams,
    name: str,
) -> DataFrame:
    """Read text files: the mapped fields under the names of their roles, and `broken`.

    Header lines are left out wherever they stand, as they do where files were joined, and so is
    what stands before them.

    Raises
    ------
    MusicRecError
        A mapped column is missing, or there twice; two roles have one column.
    """
    from pyspark.sql import functions as F

    places = places_of(layout, columns, name)
    schema = ", ".join([f"f{i} string" for i in range(len(layout.fields))] + ["broken string"])
    dialect = layout.dialect
    frame = (
        spark.read.schema(schema)
        .option("sep", dialect.separator)
        .option("quote", dialect.quote)
        .option("escape", dialect.escape)
        .option("ignoreLeadingWhiteSpace", True)
        .option("ignoreTrailingWhiteSpace", True)
        .option("columnNameOfCorruptRecord", "broken")
        .option("columnPruning", False)  # with pruning, Spark does not see ragged lines
        .csv(uris)
    )
    outside = _outside(layout, set(places.values()))
    if outside is not None:
        frame = frame.filter(~F.coalesce(outside, F.lit(False)))
    picked = [F.col(f"f{place}").alias(role) for role, place in places.items()]
    return frame.select(*picked, "broken", "_metadata")


def places_of(layout: TextLayout, columns: ColumnParams, name: str) -> dict[str, int]:
    """Role -> place among the fields, for the mapped columns.

    Raises
    ------
    MusicRecError
        A mapped column is missing, or there twice; two roles have one column.
    """
    places: dict[str, int] = {}
    for role in ROLES:
        column = getattr(columns, role)
        if column is None:
            continue
        place = column_position(column, role, layout.fields, named=layout.named, file=name)
        for other, taken in places.items():
            if taken == place:
                raise MusicRecError(
                    f"{name}: data.columns.{other} and data.columns.{role} are the same column, "
                    f"{column!r}"
                )
        places[role] = place
    return places


def _outside(layout: TextLayout, mapped: set[int]) -> Column | None:
    """What marks a line that is not part of the table: a header, or what stands before one."""
    from pyspark.sql import functions as F

    marks = []
    if layout.titles:
        # Of the header itself, where rows may be one field longer on the left.
        shift = 1 if layout.fields[0] == "" and layout.titles[0] != "" else 0
        wanted = sorted({place - shift for place in mapped if place >= shift}, reverse=True)
        marks.append(reduce(lambda a, b: a & b, (_is_title(layout, place) for place in wanted)))
    if layout.comments:
        marks.append(F.col("broken").startswith("#"))
    for line in sorted(layout.preamble):
        fields, _ = layout.dialect.split(line)
        if len(fields) == len(layout.fields):
            same = (F.coalesce(f"f{i}", F.lit("")) == text for i, text in enumerate(fields))
            marks.append(reduce(lambda a, b: a & b, same))
        else:
            marks.append(F.trim("broken") == line.strip())
    return reduce(lambda a, b: a | b, marks) if marks else None


def _is_title(layout: TextLayout, place: int) -> Column:
    from pyspark.sql import functions as F

    title = layout.titles[place]
    field = F.col(f"f{place}")
    if place:
        return field == title
    quote = layout.dialect.quote
    return field.isin(
        title, _BOM + title, f"{_BOM}{quote}{title}{quote}", f"# {title}", f"#{title}"
    )
