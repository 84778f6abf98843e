"""Plays that stand before the header, as in files that were sorted or joined."""

from __future__ import annotations

import re

from musicrec.ingest.formats.header import Lines, is_comment
from musicrec.params import DataParams

_NUMBER = re.compile(r"[+-]?\d[\d.,]*([eE][+-]?\d+)?")


def plays_before(
    before: Lines,
    titles: tuple[str, ...],
    fields: tuple[str, ...],
    rows: Lines,
    params: DataParams,
    name: str,
) -> tuple[set[int], list[str]]:
    """Tell the lines before the header that are plays.

    Parameters
    ----------
    before, rows : list of tuple of str
        The fields of the lines before the header and of those after it.
    fields : tuple of str
        A name for each field of a row.

    Returns
    -------
    plays : set of int
        Places of lines as wide as the rows, whose count is a number; of an event log, whose
        user or track comes again.
    warnings : list of str
        What may be wrong with that.
    """
    columns = params.columns
    if not before or not titles:
        return set(), []
    roles = {"user": columns.user, "track": columns.track, "count": columns.count}
    shift = int(fields[0] == "" and titles[0] != "")  # R's row names
    width = len(fields)
    at = {
        role: (titles.index(column) + shift if isinstance(column, str) else column)
        for role, column in roles.items()
        if column is not None and (isinstance(column, int) or column in titles)
    }
    full = {
        place: line
        for place, line in enumerate(before)
        if len(line) == width
        and max(at.values(), default=0) < width
        and all(line[at[role]] for role in ("user", "track") if role in at)
        and not is_comment(line[0])
    }
    if "count" in at:
        full = {i: line for i, line in full.items() if _NUMBER.fullmatch(line[at["count"]])}
    if not full:
        return set(), []
    shown = " | ".join(next(iter(full.values())))[:80]
    if "count" not in at:
        own = [at[role] for role in ("user", "track") if role in at]
        known = {(place, row[place]) for row in rows for place in own if place < len(row)}
        full = {
            i: line
            for i, line in full.items()
            if any((place, line[place]) in known for place in own)
        }
    if not full:
        return set(), [
            f"{name}: a line before the header, {shown!r}, is left out, since it may be a title; "
            "if it is a play, move the header to the top"
        ]
    shown = " | ".join(next(iter(full.values())))[:80]
    what = "1 line" if len(full) == 1 else f"{len(full)} lines"
    return set(full), [f"{name}: {what} before the header, first {shown!r}, are read as plays"]
