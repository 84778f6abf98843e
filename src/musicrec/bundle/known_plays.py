"""Plays as a service gets them, looked up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from musicrec.bundle.ids import Ids, as_text
from musicrec.bundle.wish import whole
from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import Interactions

LARGEST_COUNT = 2**63 - 1  # what a play count of the pipeline may be


def known_plays(
    lists: list[Mapping[Any, Any]], ids: Ids
) -> tuple[Interactions, list[tuple[str, ...]]]:
    """Look plays up.

    Parameters
    ----------
    lists : list of mappings
        Of each row, play counts by id: whole numbers of any kind.
    ids : Ids
        Of the columns.

    Returns
    -------
    plays : Interactions (n, len(ids))
        The plays of known ids.
    unknown : list of tuples
        The other ids, row by row.

    Raises
    ------
    MusicRecError
        A play count is not a whole number from 1 to 2^63 - 1, or an id is of a type that no id
        has.
    """
    indptr, indices, counts, unknown = [0], [], [], []
    for plays in lists:
        known: dict[int, int] = {}
        strange: dict[str, None] = {}
        for given, value in plays.items():
            count = whole(f"play count of {as_text(given, ids.kind)}", value, 1)
            if count > LARGEST_COUNT:
                raise MusicRecError(f"play count of {given} has more than 18 digits; is it right?")
            index = ids.index(given)
            if index < 0:
                strange[as_text(given, ids.kind)] = None
            else:
                known[index] = known.get(index, 0) + count
        indices += sorted(known)
        counts += [known[index] for index in sorted(known)]
        indptr.append(len(indices))
        unknown.append(tuple(strange))
    columns = np.array(indices, np.int32)
    matrix = Interactions(
        np.array(indptr, np.int64), columns, np.array(counts, np.float32), len(ids)
    )
    return matrix, unknown
