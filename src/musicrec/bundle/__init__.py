"""The serving bundle: `from musicrec.bundle import load_bundle`."""

from musicrec.bundle.bundle import Bundle, changed, load_bundle

__all__ = ["Bundle", "changed", "load_bundle"]
