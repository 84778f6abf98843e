"""Numbers and tables as text: for a terminal, Markdown and pages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

NOTHING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


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


def share(value: float, decimals: int = 1) -> str:
    """Write a relative change with a true minus: 0.0123 is `+1.2 %`."""
    return f"{100 * value:+.{decimals}f} %".replace("-", MINUS)


def markdown_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()
) -> str:
    r"""Lay out cells as a table of GitHub's Markdown.

    Parameters
    ----------
    header : sequence of str
    rows : sequence of sequences of str
        As long as the header. A `|` is escaped and a line break becomes a space, so that no cell
        can break the table.
    right : sequence of int, optional
        Columns that are aligned right; the others stay as the reader's program has them.
    """
    rule = ["---:" if column in right else "---" for column in range(len(header))]
    return "\n".join(f"| {' | '.join(map(_escaped, cells))} |" for cells in (header, rule, *rows))


def text_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()
) -> str:
    """Lay out cells in columns two blanks apart; see `markdown_table`."""
    table = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in table
    )


def _escaped(cell: str) -> str:
    return " ".join(cell.replace("|", "\\|").split("\n"))
