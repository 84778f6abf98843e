"""Tables of the page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from musicrec.review.page.words import NOTHING

_NUMBER = re.compile(rf"-?[\d,]+(\.\d+)?†?|{NOTHING}|")


@dataclass(frozen=True)
class Table:
    """A heading a column, and cells as they are shown."""

    key: str
    header: Sequence[str]
    cells: Sequence[Sequence[str]]

    @property
    def classes(self) -> list[str]:
        """Class of each column: `n`, aligned right, where it holds nothing but numbers."""
        return [
            "n" if all(map(_NUMBER.fullmatch, column)) else ""
            for column in zip(*self.cells, strict=True)
        ]
