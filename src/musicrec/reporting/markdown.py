"""Tables in Markdown, and in plain text."""

from __future__ import annotations

from collections.abc import Sequence


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
