"""Plays that stand before the header, as in files that were sorted or joined."""

from __future__ import annotations

import re

from musicrec.params.data import DataParams

_NUMBER = re.compile(r"[+-]?\d[\d.,]*([eE][+-]?\d+)?")
_NO_PLAY = ("#", "%", "//")


def plays_before(
    before: list[tuple[str, ...]],
    titles: tuple[str, ...],
    width: int,
    params: DataParams,
    name: str,
) -> tuple[set[int], list[str]]:
    """Tell the lines before the header that are plays.

    Parameters
    ----------
    before : list of tuple of str
        The fields of each.
    width : int
        How many fields a row has.

    Returns
    -------
    plays : set of int
        Places of lines as wide as the rows, whose count is a number; of an event log, where
        there are several of them.
    warnings : list of str
        What may be wrong with that.
    """
    columns = params.columns
    if not before or not titles:
        return set(), []
    roles = {"user": columns.user, "track": columns.track, "count": columns.count}
    # Rows may be one field longer than the header, on the left or on the right.
    longer = width == len(titles) + 1
    shift = int(longer and all(len(line) == width and line[0].isdigit() for line in before))
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
        and not line[0].startswith(_NO_PLAY)
    }
    if "count" in at:
        full = {i: line for i, line in full.items() if _NUMBER.fullmatch(line[at["count"]])}
    if not full:
        return set(), []
    shown = " | ".join(next(iter(full.values())))[:80]
    if len(full) == 1 and "count" not in at:
        return set(), [
            f"{name}: the line before the header, {shown!r}, is left out, since it may be a title; "
            "if it is a play, move the header to the top"
        ]
    what = "1 line" if len(full) == 1 else f"{len(full)} lines"
    return set(full), [f"{name}: {what} before the header, first {shown!r}, are read as plays"]
