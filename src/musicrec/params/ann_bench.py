"""Block `ann_bench` of params.yaml."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from musicrec.params.load import Block, Seed, Several, Whole

Positive = Annotated[Whole, Field(ge=1)]
Method = Literal[
    "exact_argsort",
    "exact_gemv",
    "exact",
    "annoy_dot",
    "annoy",
    "faiss_flat",
    "faiss_ivf",
    "hnsw",
]


class AnnBenchParams(Block):
    """Approximate against exact search."""

    block: ClassVar[str] = "ann_bench"

    k: Whole = Field(500, ge=1, description="list length")
    methods: Several[Method] = Field(
        ("exact_argsort", "exact_gemv", "exact", "annoy_dot", "annoy"),
        description="search methods to compare",
    )
    n_trees: Several[Positive] = Field((1, 5, 10, 30), description="Annoy: numbers of trees")
    search_k: Several[Positive] = Field(
        (500, 1000, 5000, 10000, 50000), description="Annoy: nodes to inspect"
    )
    n_queries: Whole = Field(
        100, ge=1, description="query users, the first by hash of (seed, user)"
    )
    repeats: Whole = Field(1, ge=1, description="timed runs of each setting; the best counts")
    thorough: bool = Field(
        False,
        description="true: our own index at every n_trees too (false: as it was exported), every "
        "n_trees however large the catalogue, more of search_k, three runs, all queries of slow "
        "methods: minutes on a large catalogue",
    )
    seed: Seed = Field(42, description="seed of the indexes and of the choice of query users")
