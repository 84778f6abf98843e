"""Block `data` of params.yaml."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from musicrec.params.load import Block, Float, Group, Seed, Whole

ROLES = ("user", "track", "count", "timestamp")
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
    protocol: Literal["given", "holdout", "strong_generalization"] = Field(
        "given",
        description="given: source is a folder with train, validation and test files (the "
        "original project's protocol); holdout: source is one table, split by hash of (seed, id); "
        "strong_generalization: the same, but held-out users have no play in training and are "
        "folded in",
    )
    format: Literal["auto", "parquet", "text", "json"] = Field(
        "auto", description="file format; auto goes by ending and content"
    )
    separator: str = Field(
        "auto",
        description="field separator of text files: auto, tab, comma, semicolon, pipe, space or "
        "the characters themselves, such as ::",
    )
    quote: str = Field(
        "auto",
        description="text files: character around a field that holds a separator; none: quotes are "
        "part of the text; auto goes by the first lines",
    )
    encoding: str = Field(
        "utf-8",
        description="encoding of text files, such as latin-1 or windows-1252; a byte order mark of "
        "UTF-16 or UTF-32 goes before it",
    )
    header: bool | Literal["auto"] = Field(
        "auto", description="whether text files start with a line of column names"
    )
    null_words: str | None = Field(
        None,
        description="words that stand for a missing value, with commas between them; usual: "
        "\\N, NULL, None, NaN, NA and the like; null: none",
    )
    decimal: Literal["auto", "point", "comma"] = Field(
        "auto",
        description="sign before the decimals of counts in text; the other one groups thousands; "
        "auto: a point, but 2.000, which may be 2 or 2000, is a bad row",
    )
    time_format: str = Field(
        "auto",
        description="form of times in text: auto (numbers, ISO dates, 02 Jan 2012, 17:05) or a "
        "pattern of Spark, such as dd/MM/yyyy HH:mm",
    )
    columns: ColumnParams = Field(default_factory=ColumnParams)
    on_bad_rows: Literal["error", "drop"] = Field(
        "error",
        description="error: stop at bad rows and name the first; drop: leave them out and count "
        "them",
    )
    validation_users: Float = Field(
        0.05, gt=0, lt=1, description="one table: share of users who become validation users"
    )
    test_users: Float = Field(
        0.05, gt=0, lt=1, description="one table: share of users who become test users"
    )
    held_out: Float = Field(
        0.5,
        gt=0,
        lt=1,
        description="one table: share of a validation or test user's plays that is held out",
    )
    min_user_plays: Whole = Field(
        1, ge=1, description="one table: users with fewer tracks are left out"
    )
    min_track_users: Whole = Field(
        1, ge=1, description="one table: tracks with fewer users are left out, before the users"
    )
    seed: Seed = Field(42, description="one table: seed of the hash")
