"""params.yaml: the schema of its blocks and the loader.

A block is a frozen pydantic model. Every mistake ends in one sentence that names the key, the value
and what is allowed.
"""

from __future__ import annotations

import datetime
import difflib
import os
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from musicrec.errors import MusicRecError

CHANGED = {  # parameters that were renamed or removed, and what to do about it
    "als.init": "is gone, since it moved no metric: users start where MLlib's do; remove the line",
    "ann_bench.thorough": "is gone: every setting is measured on all queries; list more values of "
    "ann_bench.n_trees, ann_bench.search_k and ann_bench.repeats instead",
    "ann_bench.arms": "is now called ann_bench.methods; rename it",
    "evaluate.neighbours": "is now called baselines.neighbours; rename it",
}


class Group(BaseModel):
    """Parameters that belong together."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)

    def replace(self, **changes: Any) -> Self:
        """Copy with some values changed, checked as those of a file are."""
        return type(self).model_validate({**dict(self), **changes})


class Block(Group):
    """One block of params.yaml; `block` is its name there."""

    block: ClassVar[str]


def _float(value: Any) -> Any:
    """YAML 1.1 reads 1e-05, which is how DVC writes it, as text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _tuple(value: Any) -> Any:
    """`-S evaluate.k=10` writes a scalar."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _tuple_of_list(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise PydanticCustomError("list", "is an empty list; it needs at least one value")
    if len(set(values)) != len(values):
        raise PydanticCustomError("list", "names a value twice")
    return values


def _time(value: Any) -> Any:
    """YAML reads 2020-01-31 as a date; a whole number is seconds since 1970."""
    if isinstance(value, datetime.date):
        return value.isoformat()
    whole = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if whole else value


def duration_seconds(text: str | None) -> int:
    """Seconds of a duration such as `30m`, `12h` or `90d`; 0 of none.

    Raises
    ------
    ValueError
        The text is no duration.
    """
    if text is None:
        return 0
    if not re.fullmatch(DURATION, text):
        raise ValueError(f"{text!r} is not a duration such as 30m, 12h or 90d")
    return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}[text[-1]]


def _of(default: Any, meaning: str, **limits: Any) -> Any:
    return Field(default, description=meaning, **limits)


T = TypeVar("T")
Float = Annotated[float, BeforeValidator(_float), Field(allow_inf_nan=False)]
Whole = Annotated[int, BeforeValidator(_whole)]
Positive = Annotated[int, Field(ge=1), BeforeValidator(_whole)]
# What every generator in use takes.
Seed = Annotated[int, Field(ge=0, le=2**31 - 1), BeforeValidator(_whole)]
Several = Annotated[tuple[T, ...], BeforeValidator(_tuple), AfterValidator(_distinct)]
Column = str | Annotated[int, Field(ge=0), BeforeValidator(_whole)]
DURATION = "^0*[1-9][0-9]*[smhdw]$"
Duration = Annotated[str, Field(pattern=DURATION)]
Share = Annotated[float, Field(gt=0, lt=1)]
Columns = Annotated[Column | tuple[Column, ...], BeforeValidator(_tuple_of_list)]

# Words of JSON's schema, and how they are said.
TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
}
SIGNS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}

ROLES = ("user", "track", "count", "timestamp")


class SampleParams(Block):
    """The embedded default source: synthetic plays of the Taste Profile's shape."""

    scale: Float = _of(
        0.01,
        "size as a share of the original project's data (1.0: 1.11 M users, about 50 M plays)",
        gt=0,
        le=1,
    )
    seed: Seed = _of(42, "seed of the generator")


class ColumnParams(Group):
    """Which column of the source is which: a name, or a position from 0."""

    user: Columns = _of(
        "user_id",
        "column of the user id: name, position from 0, @file (the file's name), or a list",
    )
    track: Columns = _of("track_id", "column of the track id, or a list, [artist, title]")
    track_else: Column | None = _of(
        None, "column that names the track where that of the track is null or blank"
    )
    count: Column | None = _of(
        "count", "column of the play count; null for an event log, whose rows are counted"
    )
    timestamp: Column | None = _of(
        None,
        "column of the time of the play; with it, holdout holds the latest plays out, and plays "
        "keep the time they were last played; temporal needs it",
    )


class DataParams(Block):
    """Where the plays come from and how they are read and split."""

    source: str = _of(
        "data/sample",
        "file, folder or URI that Arrow reads, or a local file *.uri that holds the URI",
    )
    files: str | None = _of(
        None, "which files of a folder, as a pattern of names such as *.parquet; null: all"
    )
    duplicates: Literal["error", "ignore"] = _of(
        "error", "files of a folder that have equal content: stop, or read each"
    )
    protocol: Literal["given", "holdout", "strong_generalization", "temporal"] = _of(
        "given",
        "given: source is a folder with train, validation and test files (the original "
        "project's protocol); holdout: source is one table, split by hash of (seed, id); "
        "strong_generalization: the same, but held-out users have no play in training and are "
        "folded in; temporal: one table, split by the time of each play",
    )
    format: Literal["auto", "parquet", "text", "json"] = _of(
        "auto", "file format; auto goes by ending and content"
    )
    separator: str = _of(
        "auto",
        "field separator of text files: auto, tab, comma, semicolon, pipe, space or the "
        "characters themselves, such as ::",
    )
    quote: str = _of(
        "auto",
        "text files: character around a field that holds a separator; none: quotes are text; auto: "
        "text between tabs and separators of several characters, else around fields",
    )
    encoding: str = _of(
        "utf-8",
        "encoding of text files, such as latin-1; a byte order mark of UTF-16 or UTF-32 wins",
    )
    header: bool | Literal["auto"] = _of(
        "auto", "whether text files start with a line of column names"
    )
    records: str | None = _of(
        None, "JSON: the list of plays within an object, such as scrobbles or playlists.tracks"
    )
    null_words: str | None = _of(
        None,
        "words that stand for a missing value, with commas between them, such as \\N, NULL, NaN; "
        "null: none",
    )
    decimal: Literal["auto", "point", "comma"] = _of(
        "auto",
        "sign before the decimals of counts in text; the other one groups thousands; auto: a "
        "point, but 2.000, which may be 2 or 2000, is a bad row",
    )
    time_format: str = _of(
        "auto",
        "form of times in text: auto (numbers, ISO dates, 02 Jan 2012, 17:05) or a pattern of "
        "strptime such as %d/%m/%Y %H:%M",
    )
    fractions: Literal["error", "round", "ceil", "one"] = _of(
        "error",
        "counts that are no whole numbers: bad rows, rounded, rounded up, or each row one play",
    )
    columns: ColumnParams = Field(default_factory=ColumnParams)
    keep: str | None = _of(
        None,
        "condition over columns that rows must meet to count, such as ms_played >= 30000 and "
        "skipped != true; null: all rows",
    )
    aliases: str | None = _of(
        None, "file of the source with two columns, a bad track id and the good one; null: none"
    )
    same_listen: Literal["once", "each"] | None = _of(
        None,
        "rows of one user, track and time: one play, or each a play; null: each, with a warning "
        "from 1 % of the rows on",
    )
    on_bad_rows: Literal["error", "drop"] = _of(
        "error", "error: stop at bad rows and name the first; drop: leave them out and count them"
    )
    validation_users: Float = _of(
        0.05, "one table: share of users who become validation users", gt=0, lt=1
    )
    test_users: Float = _of(0.05, "one table: share of users who become test users", gt=0, lt=1)
    held_out: Float = _of(
        0.5, "one table: share of a validation or test user's plays that is held out", gt=0, lt=1
    )
    held_out_by: Literal["last", "first"] = _of(
        "last",
        "holdout, strong_generalization, with times: the tracks last played latest are held out, "
        "or those first played latest",
    )
    validation_from: Annotated[Share | str | None, BeforeValidator(_time)] = _of(
        None,
        "temporal: validation plays are from this time on: a date, in quotes, a time (UTC unless "
        "it says otherwise), or the latest share of the plays",
    )
    test_from: Annotated[Share | str | None, BeforeValidator(_time)] = _of(
        None, "temporal: test plays are from this time on, and validation plays before it"
    )
    gap: Duration | None = _of(
        None, "temporal: plays within this time before a boundary are left out, such as 30m or 1d"
    )
    since: Annotated[str | None, BeforeValidator(_time)] = _of(
        None,
        "temporal: training begins at this time, or so long before the boundary (180d); null: "
        "with the first play",
    )
    min_user_plays: Whole = _of(1, "one table: users with fewer tracks are left out", ge=1)
    min_track_users: Whole = _of(
        1, "one table: tracks with fewer users are left out, before the users", ge=1
    )
    seed: Seed = _of(42, "one table: seed of the hash")


class DownsampleParams(Block):
    """How many of the full-history users to train on."""

    fraction: Float = _of(
        0.2, "share of full-history users kept; validation and test users are all kept", gt=0, le=1
    )
    seed: Seed = _of(42, "seed of the hash that chooses them")


class FeedbackParams(Block):
    """What the solver sees of a play count; held-out plays are never changed."""

    transform: Literal["none", "log1p"] = _of("none", "none: r = count; log1p: r = log(1 + count)")
    min_count: Whole = _of(1, "training plays with a lower count are dropped", ge=1)
    half_life: Duration | None = _of(
        None,
        "a count is halved for every such time from its last play to the newest one of training, "
        "before the transform, such as 90d; null: counts do not age",
    )


class ALSParams(Block):
    """Alternating least squares on implicit feedback."""

    engine: Literal["native", "mllib"] = _of(
        "native", "native: compiled, one machine; mllib: Spark"
    )
    rank: Whole = _of(20, "number of latent factors", ge=1, le=2048)
    reg_param: Float = _of(0.1, "regularisation lambda", ge=0)
    alpha: Float = _of(10.0, "confidence of a play: 1 + alpha r", ge=0)
    max_iter: Whole = _of(10, "iterations (one iteration: items, then users)", ge=1)
    nonnegative: bool = _of(True, "constrain the factors to be nonnegative")
    seed: Seed = _of(42, "seed of the starting factors")
    num_blocks: Whole = _of(
        2,
        "blocks of users and of tracks, by which both engines draw the starting factors; two keep "
        "MLlib's sums in a stable order",
        ge=1,
    )
    solver: Literal["auto", "cholesky", "cg"] = _of(
        "auto",
        "native: how each row is solved; auto: cg where it is faster (high ranks, if signed)",
    )
    reg_exponent: Float = _of(
        1.0,
        "native: a row with n plays is regularised by reg_param n^reg_exponent (1: MLlib's)",
        ge=0,
        le=1,
    )
    reg_unobserved: Float = _of(
        0.0,
        "native: share of the rows of the other side that is added to n before the exponent "
        "(0: MLlib's; docs/als.md maps Rendle et al. 2022)",
        ge=0,
    )
    unobserved_weight: Float = _of(
        1.0, "native: weight of the unobserved entries (1: Hu, Koren and Volinsky)", gt=0, le=1
    )
    early_stopping: Whole = _of(
        0,
        "native: stop after this many iterations without a better validation nDCG; 0: never",
        ge=0,
    )
    warm_start: str | None = _of(
        None, "native: exported bundle whose factors start the training, matched by id"
    )


class BaselinesParams(Block):
    """The recommenders that every model is judged beside."""

    neighbours: Whole = _of(
        100, "neighbours an item of the item-based baseline, and of the sparse form of EASE", ge=1
    )
    neighbours_alpha: Float = _of(
        0.3,
        "item-based: power of a candidate's listeners in its similarity, 1 minus it of those of "
        "the track played (0.5: cosine; Aiolli 2013)",
        ge=0,
        le=1,
    )
    neighbours_locality: Float = _of(
        1.0, "item-based: similarities are raised to this power (Aiolli 2013)", gt=0
    )
    ease_reg: Float = _of(200.0, "regularisation of EASE", ge=0.001)
    ease_exact: Whole = _of(
        5000,
        "EASE is solved exactly up to so many users or tracks, whichever are fewer (5000 takes "
        "200 MB and 4 s, time grows as n^3), beyond in its sparse form",
        ge=0,
    )


class EvaluateParams(Block):
    """How recommendations are judged."""

    split: Literal["validation", "test"] = _of("validation", "whose held-out plays are the truth")
    k: Several[Positive] = _of((10, 20, 50, 100, 500), "list lengths of the metrics")
    seen: Literal["exclude", "keep"] = _of(
        "exclude",
        "tracks of a user's history: exclude: neither recommended nor part of the truth; keep: "
        "both (repeat consumption)",
    )
    lists: Whole = _of(500, "positions of each list that data/lists.parquet keeps; 0: none", ge=0)
    champion: str | None = _of(
        None, "published bundle that is judged beside the model, for musicrec compare --champion"
    )
    bootstrap_samples: Whole = _of(1000, "resamples of the bootstrap intervals", ge=100)
    seed: Seed = _of(42, "seed of the bootstrap")


NO_GROUPS = "data/indexed/items.parquet"  # a table that is there, for dvc.yaml to depend on


class ExportParams(Block):
    """The serving bundle."""

    n_trees: Whole = _of(10, "trees of the bundle's Annoy index", ge=1)
    seed: Seed = _of(42, "seed of the Annoy index")
    groups: str = _of(
        NO_GROUPS,
        "table with the columns track_id and group (an artist, say), CSV, TSV or Parquet; the "
        "default has no groups",
    )


Method = Literal[
    "exact_argsort", "exact_gemv", "exact", "annoy_dot", "annoy", "faiss_flat", "faiss_ivf", "hnsw"
]


class AnnBenchParams(Block):
    """Approximate against exact search."""

    k: Whole = _of(500, "list length", ge=1)
    methods: Several[Method] = _of(("exact_argsort", "exact", "annoy"), "search methods to compare")
    n_trees: Several[Positive] = _of((1, 5, 10, 30), "Annoy: numbers of trees")
    search_k: Several[Positive] = _of((500, 5000, 50000), "Annoy: nodes to inspect")
    n_queries: Whole = _of(100, "query users, the first by hash of (seed, user)", ge=1)
    repeats: Whole = _of(1, "timed runs of each setting; the best counts", ge=1)
    seed: Seed = _of(42, "seed of the indexes and of the choice of query users")


class Params(Group):
    """All blocks of params.yaml."""

    sample: SampleParams = Field(default_factory=SampleParams)
    data: DataParams = Field(default_factory=DataParams)
    downsample: DownsampleParams = Field(default_factory=DownsampleParams)
    feedback: FeedbackParams = Field(default_factory=FeedbackParams)
    als: ALSParams = Field(default_factory=ALSParams)
    baselines: BaselinesParams = Field(default_factory=BaselinesParams)
    evaluate: EvaluateParams = Field(default_factory=EvaluateParams)
    export: ExportParams = Field(default_factory=ExportParams)
    ann_bench: AnnBenchParams = Field(default_factory=AnnBenchParams)


_BY_NAME: dict[str, type[Block]] = {
    name: typing.cast("type[Block]", field.annotation)
    for name, field in Params.model_fields.items()
}
MODELS, BLOCKS = tuple(_BY_NAME.values()), tuple(_BY_NAME)
for _block, _model in _BY_NAME.items():
    _model.block = _block
M = TypeVar("M", bound=Group)
B = TypeVar("B", bound=Block)


class _Yaml(yaml.SafeLoader):
    """Reads numbers and booleans as DVC does, whose YAML is version 1.2.

    In version 1.1 `010` is 8, `1:30` is 90 and `yes` is true: here they stay text, and are refused
    where a number or a boolean is wanted.
    """


def _scalar(loader: _Yaml, node: yaml.ScalarNode) -> Any:
    kind, text = node.tag.rpartition(":")[2], str(node.value)
    differs = r"(?i)(?!true|false).*" if kind == "bool" else r"[-+]?0[0-9_]+|.*:.*"
    return text if re.fullmatch(differs, text) else getattr(loader, f"construct_yaml_{kind}")(node)


for _kind in ("bool", "int", "float"):
    _Yaml.add_constructor(f"tag:yaml.org,2002:{_kind}", _scalar)


def load_params(path: str | os.PathLike[str] = "params.yaml") -> Params:
    """Read and check every block; a key left out takes its default.

    Raises
    ------
    MusicRecError
        The file is missing or not YAML; a block or a key is unknown; a value has the wrong type or
        is out of range. The sentence names key, value and what is allowed.
    """
    try:
        content = _Yaml(Path(path).read_text(encoding="utf-8")).get_single_data()
    except FileNotFoundError:
        raise MusicRecError(f"{path}: no such parameter file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MusicRecError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    return _checked(Params, "", {} if content is None else content, path)


def load_block(path: str | os.PathLike[str], block: type[B]) -> B:
    """Read a stage's block, once all are checked: a mistake stops the first stage, not the last.

    Raises
    ------
    MusicRecError
        See `load_params`; or a bundle that a later stage is to read is not there.
    """
    params = load_params(path)
    bundles = {
        "als.warm_start": params.als.warm_start,
        "evaluate.champion": params.evaluate.champion,
    }
    for name, bundle in bundles.items():
        if bundle is not None and not Path(bundle).exists():
            raise MusicRecError(
                f"{path}: {name} = {bundle}: no such folder; name a bundle, such as `musicrec "
                "publish FOLDER` writes, or set it to null"
            )
    found: B = getattr(params, block.block)
    return found


def check_block(content: dict[str, Any], block: type[B], path: str | os.PathLike[str]) -> B:
    """Check one block of the content of a parameter file; raises as `load_params` does."""
    return _checked(block, block.block, content.get(block.block, {}), path)


def _checked(model: type[M], name: str, values: Any, path: str | os.PathLike[str]) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise MusicRecError(f"{path}: {_sentence(error, model, name, values)}") from None


def trained_with(values: Mapping[str, Any], block: type[B]) -> B:
    """Read the block that a model was trained with, perhaps when it had parameters now gone.

    Raises
    ------
    pydantic.ValidationError
        It is not a block that any version wrote.
    """
    return block.model_validate(without_gone(block)(values))


def without_gone(block: type[Block]) -> Callable[[Any], Any]:
    """Leave out the parameters of a block that an earlier version had."""

    def kept(values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {k: v for k, v in values.items() if f"{block.block}.{k}" not in CHANGED}

    return kept


def _sentence(error: ValidationError, model: type[BaseModel], name: str, values: Any) -> str:
    """What is wrong with the values of a model of this name, which is blank at the top level."""
    mistake = error.errors()[0]
    parameter = None
    for step in mistake["loc"]:
        if parameter is not None or step not in model.model_fields:
            break
        name = f"{name}.{step}".lstrip(".")
        values = values.get(step) if isinstance(values, dict) else values
        below = model.model_fields[str(step)].annotation
        if isinstance(below, type) and issubclass(below, BaseModel):
            model = below
        else:
            parameter = str(step)
    if mistake["type"] in ("extra_forbidden", "invalid_key"):
        return _unknown(str(mistake["loc"][-1]), name, model)
    if parameter is None:
        return f"{name or 'the top level'} must be a block of keys, not {values!r}"
    if mistake["type"] == "list":
        return f"{name} {mistake['msg']}" if not values else f"{name} = {values!r} {mistake['msg']}"
    wrong = mistake["input"] if isinstance(values, list) else values
    shown = "null" if wrong is None else repr(wrong)
    return f"{name} = {shown} is not allowed; it must be {allowed(model, parameter)}"


def _unknown(key: str, where: str, model: type[BaseModel]) -> str:
    prefix = where and f"{where}."
    if f"{prefix}{key}" in CHANGED:
        return f"{prefix}{key} {CHANGED[prefix + key]}"
    known = list(model.model_fields)
    return (
        f"unknown parameter {prefix}{key}{near(key, known, prefix)}; {where or 'the top level'} "
        f"has: {', '.join(known)}"
    )


def near(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Suggest the known name that a mistyped one is most like: ` (did you mean als.rank?)`."""
    likely = difflib.get_close_matches(name, list(known), 1)
    return f" (did you mean {prefix}{likely[0]}?)" if likely else ""


def allowed(model: type[BaseModel], parameter: str) -> str:
    """Say in words which values a parameter may take, for errors and for the documentation."""
    return _described(model.model_json_schema()["properties"][parameter])


def _described(schema: Mapping[str, Any]) -> str:
    """Say which values a JSON schema allows."""
    if "anyOf" in schema:
        return " or ".join(map(_described, schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return "one of " + ", ".join(schema.get("enum", [schema.get("const")]))
    if "pattern" in schema:
        return "a duration such as 30m, 12h or 90d"
    if schema["type"] == "array":
        return "a list, each " + _described(schema["items"])
    bounds = [f"{sign} {schema[name]:.12g}" for name, sign in SIGNS.items() if name in schema]
    return f"{TYPES[schema['type']]} {' and '.join(bounds)}".rstrip()
