"""The former place of `musicrec.bundle`, kept for version 0.1."""

from __future__ import annotations

import warnings

from musicrec.bundle.bundle import Bundle, load_bundle

__all__ = ["Bundle", "load_bundle"]

warnings.warn(
    "musicrec.serve.bundle is now musicrec.bundle: from musicrec.bundle import load_bundle",
    DeprecationWarning,
    stacklevel=2,
)
