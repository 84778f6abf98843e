"""Block `sample` of params.yaml."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from musicrec.params.load import Block, Float, Seed


class SampleParams(Block):
    """The embedded default source: synthetic plays of the Taste Profile's shape."""

    block: ClassVar[str] = "sample"

    scale: Float = Field(
        0.01,
        gt=0,
        le=1,
        description="size as a share of the original project's data (1.0: 1.11 M users, "
        "about 50 M plays)",
    )
    seed: Seed = Field(42, description="seed of the generator")
