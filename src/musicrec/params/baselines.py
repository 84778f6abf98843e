"""Block `baselines` of params.yaml."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from musicrec.params.load import Block, Float, Whole


class BaselinesParams(Block):
    """The recommenders that every model is judged beside."""

    block: ClassVar[str] = "baselines"

    neighbours: Whole = Field(
        100,
        ge=1,
        description="neighbours an item of the item-based baseline, and of the sparse form of EASE",
    )
    ease_reg: Float = Field(200.0, ge=0.001, description="regularisation of EASE")
    ease_exact: Whole = Field(
        5000,
        ge=0,
        description="EASE is solved exactly up to so many users or tracks, whichever are fewer "
        "(8 n^2 bytes, time n^3: 5000 takes 200 MB and 4 s), beyond in its sparse form",
    )
