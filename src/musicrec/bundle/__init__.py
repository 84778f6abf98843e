"""The serving bundle: `from musicrec.bundle import load_bundle`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from musicrec.bundle.bundle import Bundle, changed, load_bundle

__all__ = ["Bundle", "changed", "load_bundle"]


def __getattr__(name: str) -> Any:
    """Import the reader when it is asked for; the command line reads `commands` alone."""
    if name in __all__:
        from musicrec.bundle import bundle

        return getattr(bundle, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
