"""Block `als` of params.yaml."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from musicrec.params.load import Block, Float, Seed, Whole


class ALSParams(Block):
    """Alternating least squares on implicit feedback."""

    block: ClassVar[str] = "als"

    engine: Literal["native", "mllib"] = Field(
        "native", description="native: compiled, one machine; mllib: Spark"
    )
    rank: Whole = Field(20, ge=1, le=2048, description="number of latent factors")
    reg_param: Float = Field(0.1, ge=0, description="regularisation lambda")
    alpha: Float = Field(10.0, ge=0, description="confidence of a play: 1 + alpha r")
    max_iter: Whole = Field(10, ge=1, description="iterations (one iteration: items, then users)")
    nonnegative: bool = Field(True, description="constrain the factors to be nonnegative")
    init: Literal["random", "projection"] = Field(
        "random",
        description="native: where the users start; random: where MLlib's do; projection: at a "
        "random projection of their plays, which saves iterations",
    )
    seed: Seed = Field(42, description="seed of the starting factors")
    num_blocks: Whole = Field(
        2,
        ge=1,
        description="blocks of users and of tracks; both engines draw the starting factors block "
        "by block, and two keep MLlib's sums in a stable order",
    )
    solver: Literal["auto", "cholesky", "cg"] = Field(
        "auto",
        description="native: how each row is solved; auto: cg where it is faster (high ranks, "
        "if signed)",
    )
    reg_exponent: Float = Field(
        1.0,
        ge=0,
        le=1,
        description="native: a row with n plays is regularised by reg_param n^reg_exponent "
        "(1: MLlib's)",
    )
    reg_unobserved: Float = Field(
        0.0,
        ge=0,
        description="native: share of the rows of the other side that is added to n before the "
        "exponent (0: MLlib's; docs/als.md maps Rendle et al. 2022)",
    )
    unobserved_weight: Float = Field(
        1.0,
        gt=0,
        le=1,
        description="native: weight of the unobserved entries (1: Hu, Koren and Volinsky)",
    )
    early_stopping: Whole = Field(
        0,
        ge=0,
        description="native: stop after this many iterations without a better validation nDCG; "
        "0: never",
    )
    warm_start: str | None = Field(
        None,
        description="native: exported bundle whose factors start the training, matched by id",
    )
