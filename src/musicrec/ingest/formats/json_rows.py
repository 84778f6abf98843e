"""Lines of JSON through Spark: the mapped fields of every object, as text."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from musicrec.ingest.formats.json_lines import JsonLayout, Keys

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

_NUMBER = r"-0|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|NaN|[+-]?INF|[+-]?Infinity"
# What the parser makes of numbers: 1.1 of 1.10, 0 of -0.
_ROUNDED = r'^(?:0|-?[0-9]+[.eE][0-9.eE+-]*|"NaN"|"[+-]?INF"|"[+-]?Infinity")$'
_NO_ID = r"^(?:[\[{]|(?:true|false|NaN|[+-]?INF|[+-]?Infinity)$)"  # a value of another type, shown
# Halves of a surrogate pair alone, behind an even number of backslashes.
_HIGH = r"(?<!\\)((?:\\\\)*)\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
_LOW = r"(?<!\\u[dD][89abAB][0-9a-fA-F]{2})(?<!\\)((?:\\\\)*)\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_EDGE = r"^[\s\x1e\ufeff]+|[\s,]+$"  # marks of joined files, blanks, commas between objects


def read_json(spark: SparkSession, layout: JsonLayout, uris: list[str]) -> DataFrame:
    """Read lines of JSON: the mapped fields as text, and `broken`, a line that is no object.

    Several objects on a line, with commas between them or in an array, are a row each. Whatever
    else stands on the line breaks it, and so does an id that is no text or number.
    """
    from pyspark.sql import functions as F

    raw, value, found = F.col("raw"), F.col("value"), F.col("found")
    bare = F.when(value.startswith("{") & value.endswith("}"), value)
    bare = bare.otherwise(F.regexp_replace(value, _EDGE, ""))
    frame = spark.read.text(uris).select(bare.alias("raw"), "_metadata").filter(raw != "")
    frame = frame.withColumn("line", _exact(raw, layout))
    frame = frame.withColumn("found", _objects(F.col("line"), layout))
    broken = found.broken.isNotNull() | found.end.isNull() | found.rows.isNull()
    frame = frame.withColumn("bad", broken).withColumn(
        "row", F.explode(F.when(F.col("bad"), F.array(F.lit(None))).otherwise(found.rows))
    )
    wrong = F.col("bad")
    values = {}
    for role, keys in layout.paths:
        shown = F.col(".".join(_quoted(key) for key in ("row", *keys)))
        values[role] = F.coalesce(F.when(shown.rlike(_ROUNDED), _as_written(shown, keys)), shown)
        if role in ("user", "track"):
            other = rf"{_key(keys)}[\[{{tfNI+-]"
            wrong = wrong | (
                F.coalesce(values[role].rlike(_NO_ID), F.lit(False)) & raw.rlike(other)
            )
    frame = frame.withColumn("broken", F.when(wrong, raw))
    return frame.select(
        *[value.alias(role) for role, value in values.items()], "broken", "_metadata"
    )


def _as_written(shown: Column, keys: Keys) -> Column:
    """A number as the line has it: that of the field's name which stands for the same value."""
    from pyspark.sql import functions as F

    pattern = rf"{_key(keys)}({_NUMBER})(?=[\s,}}])"
    numbers = F.regexp_extract_all("line", F.lit(pattern), F.lit(1))
    value = F.replace(shown, F.lit('"')).try_cast("double")  # NaN is shown in quotes
    alike = F.filter(numbers, lambda number: number.try_cast("double") == value)
    return F.get(alike, F.lit(0))


def _exact(raw: Column, layout: JsonLayout) -> Column:
    """A line without halves of surrogate pairs, and numbers as text where several objects are."""
    from pyspark.sql import functions as F

    keys = "|".join(sorted({_key(keys) for _, keys in layout.paths}))
    texts = F.regexp_replace(raw, rf"({keys})({_NUMBER})(?=[\s,}}])", '$1"$2"')
    near = raw.contains("},") | raw.contains("} ") | raw.contains("}\t")
    several = raw.startswith("[") | (near & raw.rlike(r"\}\s*,\s*\{"))
    line = F.when(several, texts).otherwise(raw)
    return F.when(raw.contains("\\ud") | raw.contains("\\uD"), _without_halves(line)).otherwise(
        line
    )


def _objects(line: Column, layout: JsonLayout) -> Column:
    """The objects of a line as an array `rows`, and `end`, which is null where the line ends late.

    The line is parsed as part of a larger object: a parser stops at the end of the first value,
    and does not see what follows.
    """
    from pyspark.sql import functions as F

    array = line.startswith("[")
    start = F.when(array, F.lit('{"rows":')).otherwise(F.lit('{"rows":['))
    end = F.when(array, F.lit(',"end":"."}')).otherwise(F.lit('],"end":"."}'))
    options = {"columnNameOfCorruptRecord": "broken", "allowSingleQuotes": "false"}
    return F.from_json(F.concat(start, line, end), _schema(layout), options)


def _schema(layout: JsonLayout) -> Any:
    from pyspark.sql.types import ArrayType, StringType, StructField, StructType

    tree: dict[str, Any] = {}
    for _, keys in layout.paths:
        inner = tree
        for key in keys[:-1]:
            inner = inner.setdefault(key, {})
        inner[keys[-1]] = None

    def schema(tree: dict[str, Any]) -> StructType:
        kinds = {
            key: StringType() if below is None else schema(below) for key, below in tree.items()
        }
        return StructType([StructField(key, kind) for key, kind in kinds.items()])

    return (
        StructType()
        .add("rows", ArrayType(schema(tree)))
        .add("end", "string")
        .add("broken", "string")
    )


def _key(keys: Keys) -> str:
    """A pattern of a field's name within a line; text never holds quotes without backslashes."""
    spellings = {json.dumps(keys[-1], ensure_ascii=choice) for choice in (True, False)}
    return rf"(?:{'|'.join(re.escape(name) for name in sorted(spellings))})\s*:\s*"


def _without_halves(line: Column) -> Column:
    """Write U+FFFD for what would become a question mark, in which titles would meet."""
    from pyspark.sql import functions as F

    for half in (_HIGH, _LOW):
        line = F.regexp_replace(line, half, r"$1\\ufffd")
    return line


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
