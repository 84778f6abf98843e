"""Block `downsample` of params.yaml."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from musicrec.params.load import Block, Float, Seed


class DownsampleParams(Block):
    """How many of the full-history users to train on."""

    block: ClassVar[str] = "downsample"

    fraction: Float = Field(
        0.2,
        gt=0,
        le=1,
        description="share of full-history users kept; validation and test users are all kept",
    )
    seed: Seed = Field(42, description="seed of the hash that chooses them")
