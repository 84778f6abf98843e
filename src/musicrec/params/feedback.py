"""Block `feedback` of params.yaml."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from musicrec.params.load import Block, Whole


class FeedbackParams(Block):
    """What the solver sees of a play count; held-out plays are never changed."""

    block: ClassVar[str] = "feedback"

    transform: Literal["none", "log1p"] = Field(
        "none", description="none: r = count; log1p: r = log(1 + count)"
    )
    min_count: Whole = Field(1, ge=1, description="training plays with a lower count are dropped")
