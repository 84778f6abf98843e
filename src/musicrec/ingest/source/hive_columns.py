"""Columns that stand in the names of folders, as Hive and Spark write them: `user=7/part-0`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from musicrec.params import ROLES, ColumnParams

if TYPE_CHECKING:
    from pyspark.sql import Column

_NULL = "__HIVE_DEFAULT_PARTITION__"


def hive_columns(relatives: list[str], columns: ColumnParams) -> dict[str, str]:
    """Role -> column, for the mapped columns that are in the path of every file.

    Parameters
    ----------
    relatives : list of str
        The files' paths below the source.
    """
    common: set[str] | None = None
    for relative in relatives:
        names = {part.split("=")[0] for part in relative.split("/")[:-1] if "=" in part}
        common = names if common is None else common & names
    mapped = {role: getattr(columns, role) for role in ROLES}
    return {role: column for role, column in mapped.items() if column in (common or ())}


def hive_value(path: Column, name: str) -> Column:
    """Read a column out of a file's path, whose signs are percent-encoded twice: Hive, then URI."""
    from pyspark.sql import functions as F

    # Spark writes names with its own escapes, so a name is looked for as it stands.
    value = F.regexp_extract(path, f"/{re.escape(name)}=([^/]*)/", 1)
    for _ in range(2):
        plain = F.try_url_decode(F.replace(value, F.lit("+"), F.lit("%2B")))
        value = F.coalesce(plain, value)  # a sign of percent that a person wrote
    return F.when(value != _NULL, value)
