"""Block `export` of params.yaml."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from musicrec.params.load import Block, Seed, Whole


class ExportParams(Block):
    """The serving bundle."""

    block: ClassVar[str] = "export"

    n_trees: Whole = Field(10, ge=1, description="trees of the bundle's Annoy index")
    seed: Seed = Field(42, description="seed of the Annoy index")
