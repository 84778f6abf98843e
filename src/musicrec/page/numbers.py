"""Numbers as pages write them."""

from __future__ import annotations

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
    if isinstance(value, float) and decimals is not None:
        return f"{value:,.{decimals}f}"
    if isinstance(value, float):
        if value.is_integer() and abs(value) >= 10:
            return f"{value:,.0f}"
        return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
    return str(value)


def share(value: float, decimals: int = 1) -> str:
    """Write a relative change with a true minus: 0.0123 is `+1.2 %`."""
    return f"{100 * value:+.{decimals}f} %".replace("-", MINUS)
