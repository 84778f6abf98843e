"""Block `data` of params.yaml."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from musicrec.params.load import Block, Float, Group, Seed, Whole

Position = Annotated[Whole, Field(ge=0)]


class ColumnParams(Group):
    """Which column of the source is which: a name, or a position from 0."""

    user: str | Position = Field(
        "user_id", description="column of the user id: name, or position from 0"
    )
    track: str | Position = Field(
        "track_id", description="column of the track id: name, or position from 0"
    )
    count: str | Position | None = Field(
        "count",
        description="column of the play count; null for an event log, whose rows are counted",
    )
    timestamp: str | Position | None = Field(
        None,
        description="column of the time of the play; with it, holdout holds the latest plays out",
    )


class DataParams(Block):
    """Where the plays come from and how they are read and split."""

    block: ClassVar[str] = "data"

    source: str = Field(
        "data/sample",
        description="file, folder or URI that Spark reads, or a local file *.uri that holds the "
        "URI",
    )
    protocol: Literal["given", "holdout"] = Field(
        "given",
        description="given: source is a folder with train, validation and test files (the "
        "original project's protocol); holdout: source is one table, split by hash of (seed, id)",
    )
    format: Literal["auto", "parquet", "text"] = Field(
        "auto", description="file format; auto goes by ending and content"
    )
    separator: str = Field(
        "auto",
        description="field separator of text files: auto, tab, comma, semicolon, pipe, space or a "
        "character",
    )
    header: bool | Literal["auto"] = Field(
        "auto", description="whether text files start with a line of column names"
    )
    columns: ColumnParams = Field(default_factory=ColumnParams)
    on_bad_rows: Literal["error", "drop"] = Field(
        "error",
        description="error: stop at bad rows and name the first; drop: leave them out and count "
        "them",
    )
    validation_users: Float = Field(
        0.05, gt=0, lt=1, description="holdout: share of users who become validation users"
    )
    test_users: Float = Field(
        0.05, gt=0, lt=1, description="holdout: share of users who become test users"
    )
    held_out: Float = Field(
        0.5,
        gt=0,
        lt=1,
        description="holdout: share of a validation or test user's plays that is held out",
    )
    seed: Seed = Field(42, description="holdout: seed of the hash")
