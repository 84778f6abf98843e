"""Delimited text through Spark: the mapped fields of every line that is not a header."""

from __future__ import annotations

import re
from functools import reduce
from typing import TYPE_CHECKING

from musicrec.errors import MusicRecError
from musicrec.ingest.formats.header import KNOWN_NAMES, UNSEEN, column_position, plain_title
from musicrec.ingest.formats.table_text import Dialect
from musicrec.ingest.formats.text_layout import TextLayout
from musicrec.params import ROLES, ColumnParams

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

_BOM = "\ufeff"
_TITLES = 200  # so many columns are compared with a header amid the rows


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
    line = F.when(F.col("value").startswith(_BOM), F.substring("value", 2, 2**31 - 1))
    frame = spark.read.text(uris).select(
        line.otherwise(F.col("value")).alias("line"), F.col("_metadata").alias("_metadata")
    )
    frame = frame.filter(~_is_blank(F.col("line"), layout.dialect))
    aside = sorted(layout.aside | layout.preamble)
    if aside:
        frame = frame.filter(~F.regexp_replace("line", r"^\s+|\s+$", "").isin(*aside))
    frame = frame.withColumn("row", _cut(F.col("line"), layout))
    outside = _outside(layout, places, columns)
    if outside is not None:
        frame = frame.filter(~F.coalesce(outside, F.lit(False)))
    broken = F.col("row.broken")
    unsound = _unsound(F.col("line"), layout.dialect)
    if unsound is not None:
        broken = F.coalesce(broken, F.when(unsound, F.col("line")))
    if layout.titles:
        broken = F.coalesce(broken, _stop_at_other_order(layout, places, name))
    picked = [F.col(f"row.f{place}").alias(role) for role, place in places.items()]
    return frame.select(*picked, broken.alias("broken"), "_metadata")


def _cut(line: Column, layout: TextLayout) -> Column:
    """A line as a struct of its fields and `broken`, the line where they are more or fewer."""
    from pyspark.sql import functions as F

    width, dialect = len(layout.fields), layout.dialect
    options = {
        "sep": dialect.separator,
        "quote": dialect.quote,
        "escape": dialect.escape,
        "ignoreLeadingWhiteSpace": "true",
        "ignoreTrailingWhiteSpace": "true",
        "columnNameOfCorruptRecord": "broken",
        "columnPruning": "false",  # with pruning, Spark does not see ragged lines
        "maxColumns": str(max(20_480, 2 * width)),
    }
    schema = ", ".join([f"f{i} string" for i in range(width)] + ["broken string"])
    return F.from_csv(line, schema, options)


def _is_blank(line: Column, dialect: Dialect) -> Column:
    """Whether a line holds nothing, or separators alone, as spreadsheets write empty rows."""
    separator = re.escape(dialect.separator)
    return line.rlike(rf"^(?:[\x00-\x20]|{separator})*+$")


def _unsound(line: Column, dialect: Dialect) -> Column | None:
    """Whether quotes are not closed, or are where the dialect has none."""
    from pyspark.sql import functions as F

    if not dialect.quote:
        late = line.contains('""') & line.rlike(dialect.enclosed_late())
        return late if dialect.strict else None
    rest = F.regexp_replace(line, dialect.enclosed(), "")
    blank = f"[{dialect.blanks}]*" if dialect.blanks else ""
    opened = rf"(?:^|{re.escape(dialect.separator)}){blank}{re.escape(dialect.quote)}"
    flawed = rest.contains(dialect.quote) if dialect.strict else rest.rlike(opened)
    return line.contains(dialect.quote) & flawed


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


def _outside(layout: TextLayout, places: dict[str, int], columns: ColumnParams) -> Column | None:
    """What marks a line that is not part of the table: a header wherever it stands, a comment."""
    from pyspark.sql import functions as F

    marks = []
    if layout.titles:
        # Of the header itself, where rows may be one field longer on the left.
        own = {place - layout.shift for place in places.values() if place >= layout.shift}
        titles = (_is_title(layout, place) for place in sorted(own, reverse=True))
        marks.append(reduce(lambda a, b: a & b, titles))
    elif columns.count is None and layout.by_guess and {"user", "track"} <= set(places):
        words = (F.col(f"row.f{places[role]}") for role in ("user", "track"))
        plain = (F.lower(F.regexp_replace(word, r"[^\p{L}\p{N}]", "")) for word in words)
        named = (word.isin(*sorted(names)) for word, names in zip(plain, KNOWN_NAMES, strict=True))
        marks.append(reduce(lambda a, b: a & b, named))
    if layout.comments:
        marks.append(F.col("row.broken").startswith("#"))
    return reduce(lambda a, b: a | b, marks) if marks else None


def _is_title(layout: TextLayout, place: int) -> Column:
    """Whether a field is the title there, in upper or lower case."""
    title = plain_title(layout.titles[place])
    field = _plain(place)
    if place:
        return field == title
    return field.isin(title, f"# {title}", f"#{title}")


def _plain(place: int) -> Column:
    from pyspark.sql import functions as F

    field = F.col(f"row.f{place}")
    return F.lower(F.regexp_replace(field, f"^{UNSEEN}|{UNSEEN}$", ""))


def _stop_at_other_order(layout: TextLayout, places: dict[str, int], name: str) -> Column | None:
    """Stop at a header that has the same titles in another order: what follows is misread."""
    from pyspark.sql import functions as F

    titles = {plain_title(title) for title in layout.titles}
    mine = [place for role, place in places.items() if role in ("user", "track")]
    if len(mine) < 2 or len(titles) > _TITLES:
        return F.lit(None).cast("string")
    amid = reduce(lambda a, b: a & b, (_plain(place).isin(*sorted(titles)) for place in mine))
    whole = F.array_sort(F.array(*(_plain(place) for place in range(len(layout.fields)))))
    same = whole == F.array(*map(F.lit, sorted(map(plain_title, layout.fields))))
    sentence = (
        f"a line amid the rows of {name} or a file like it names the columns in another order "
        "than the header; keep files of different columns apart"
    )
    return F.when(amid & same, F.raise_error(F.lit(sentence)))
