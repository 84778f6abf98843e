"""Block `baselines` of params.yaml."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from musicrec.params.load import Block, Whole


class BaselinesParams(Block):
    """The recommenders that every model is judged beside."""

    block: ClassVar[str] = "baselines"

    neighbours: Whole = Field(
        100, ge=1, description="neighbours an item of the item-based baseline"
    )
