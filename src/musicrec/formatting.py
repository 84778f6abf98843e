"""Numbers and tables as text: for a terminal, Markdown and pages."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

NOTHING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
_NUMBER = re.compile(rf"[-+{MINUS}<\d][-+{MINUS}\d,.% to†]*|{NOTHING}|")  # or an interval


def number(value: Any, decimals: int | None = None) -> str:
    """Write a value for a table: thousands grouped, a dash for nothing.

    A float has as many `decimals` as asked for; else four below 10 and one above.
    """
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    if decimals is None:
        whole = value.is_integer() and abs(value) >= 10
        decimals = 0 if whole else 4 if abs(value) < 10 else 1
    return f"{value:,.{decimals}f}"


def counted(count: int, noun: str) -> str:
    """Write a count with its noun: `1 play`, `2,000 plays`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def parameter(value: Any) -> str:
    """Write a parameter's value as YAML has it: `null`, `false`, `[10, 20]`."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def share(value: float) -> str:
    """Write a relative change with a true minus: 0.0123 is `+1.2 %`."""
    return f"{100 * value:+.1f} %".replace("-", MINUS)


class Table(NamedTuple):
    """A heading a column, and cells as they are shown; a column of numbers is aligned right."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    @property
    def right(self) -> list[bool]:
        """Whether each column holds nothing but numbers."""
        columns = zip(*self.rows, strict=True)
        numbers = [all(map(_NUMBER.fullmatch, column)) for column in columns]
        return numbers or [False] * len(self.header)

    def text(self) -> str:
        """Lay the cells out for a terminal, columns two blanks apart."""
        table = [self.header, *self.rows]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(cells, widths, self.right, strict=True)
            ).rstrip()
            for cells in table
        )

    def markdown(self) -> str:
        r"""Lay the cells out as a table of GitHub's Markdown.

        A `|` is escaped and a line break becomes a space, so that no cell can break the table.
        """
        table = [self.header, ["---:" if right else "---" for right in self.right], *self.rows]
        escaped = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in table]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in escaped)
