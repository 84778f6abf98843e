"""Block `evaluate` of params.yaml."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from musicrec.params.load import Block, Seed, Several, Whole

Length = Annotated[Whole, Field(ge=1)]


class EvaluateParams(Block):
    """How recommendations are judged."""

    block: ClassVar[str] = "evaluate"

    split: Literal["validation", "test"] = Field(
        "validation", description="whose held-out plays are the truth"
    )
    k: Several[Length] = Field((10, 20, 50, 100, 500), description="list lengths of the metrics")
    bootstrap_samples: Whole = Field(
        1000, ge=100, description="resamples of the bootstrap intervals"
    )
    seed: Seed = Field(42, description="seed of the bootstrap")
