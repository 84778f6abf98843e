"""Every parameter: its name, type, default, range and meaning, and the one loader.

`params.yaml` holds a block a stage; each block is a frozen dataclass here. Loading checks
every key of the file, so that a misspelt name or a value out of range stops the first stage
with one sentence and not the last one with a stack trace.
"""

from __future__ import annotations

import dataclasses
import math
import os
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from musicrec.errors import MusicRecError

MAX_SEED = 2**31 - 1  # what every generator in use takes


def param(
    default: Any,
    doc: str,
    *,
    choices: tuple[Any, ...] | None = None,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
) -> Any:
    """Declare a parameter: its default, meaning, and what it may be (each one of a list)."""
    rules = {"doc": doc, "choices": choices, "ge": ge, "gt": gt, "le": le, "lt": lt}
    if isinstance(default, list | dict):
        default = tuple(default)
    return dataclasses.field(default=default, metadata=rules)


@dataclass(frozen=True)
class SampleParams:
    """The embedded default source: synthetic plays of the seed's shape."""

    scale: float = param(
        0.01, "size as a share of the seed's data (1.0: 1.11 M users, about 50 M plays)", gt=0, le=1
    )
    seed: int = param(42, "seed of the generator", ge=0, le=MAX_SEED)


@dataclass(frozen=True)
class ColumnParams:
    """Which column of the source is which: a name, or a position from 0."""

    user: str | int = param("user_id", "column of the user id: name, or position from 0", ge=0)
    track: str | int = param("track_id", "column of the track id: name, or position from 0", ge=0)
    count: str | int | None = param(
        "count", "column of the play count; null for an event log, whose rows are counted", ge=0
    )
    timestamp: str | int | None = param(
        None, "column of the time of the play; with it, holdout holds the latest plays out", ge=0
    )


@dataclass(frozen=True)
class DataParams:
    """Where the plays come from and how they are read and split."""

    source: str = param(
        "data/sample",
        "file, folder or URI that Spark reads, or a local file *.uri that holds the URI",
    )
    protocol: str = param(
        "given",
        "given: source is a folder with train, validation and test files (the seed's protocol); "
        "holdout: source is one table, split by hash of (seed, id)",
        choices=("given", "holdout"),
    )
    format: str = param(
        "auto", "file format; auto goes by ending and content", choices=("auto", "parquet", "text")
    )
    separator: str = param(
        "auto",
        "field separator of text files: auto, tab, comma, semicolon, pipe, space or a character",
    )
    header: bool | str = param(
        "auto",
        "whether text files start with a line of column names",
        choices=(True, False, "auto"),
    )
    columns: ColumnParams = dataclasses.field(default_factory=ColumnParams)
    on_bad_rows: str = param(
        "error",
        "error: stop at bad rows and name the first; drop: leave them out and count them",
        choices=("error", "drop"),
    )
    validation_users: float = param(
        0.05, "holdout: share of users who become validation users", gt=0, lt=1
    )
    test_users: float = param(0.05, "holdout: share of users who become test users", gt=0, lt=1)
    held_out: float = param(
        0.5, "holdout: share of a validation or test user's plays that is held out", gt=0, lt=1
    )
    seed: int = param(42, "holdout: seed of the hash", ge=0, le=MAX_SEED)


@dataclass(frozen=True)
class DownsampleParams:
    """How many of the full-history users to train on."""

    fraction: float = param(
        0.2, "share of full-history users kept; validation and test users are all kept", gt=0, le=1
    )
    seed: int = param(42, "seed of the hash that chooses them", ge=0, le=MAX_SEED)


@dataclass(frozen=True)
class FeedbackParams:
    """What the solver sees of a play count; held-out plays are never changed."""

    transform: str = param(
        "none", "none: r = count; log1p: r = log(1 + count)", choices=("none", "log1p")
    )
    min_count: int = param(1, "training plays with a lower count are dropped", ge=1)


@dataclass(frozen=True)
class ALSParams:
    """Alternating least squares on implicit feedback."""

    engine: str = param(
        "native", "native: compiled, one machine; mllib: Spark", choices=("native", "mllib")
    )
    rank: int = param(20, "number of latent factors", ge=1, le=1024)
    reg_param: float = param(0.1, "regularisation lambda", ge=0)
    alpha: float = param(10.0, "confidence of a play: 1 + alpha r", ge=0)
    max_iter: int = param(10, "iterations (one iteration: items, then users)", ge=1)
    nonnegative: bool = param(True, "constrain the factors to be nonnegative")
    seed: int = param(42, "seed of the starting factors", ge=0, le=MAX_SEED)
    num_blocks: int = param(
        2, "mllib: user and item blocks; two keep MLlib's sums in a stable order", ge=1
    )
    solver: str = param(
        "auto",
        "native: how each row is solved; auto: cg where it is faster (high ranks, if signed)",
        choices=("auto", "cholesky", "cg"),
    )
    reg_exponent: float = param(
        1.0,
        "native: a row with n plays is regularised by reg_param n^reg_exponent (1: MLlib's)",
        ge=0,
        le=1,
    )
    unobserved_weight: float = param(
        1.0, "native: weight of the unobserved entries (1: Hu, Koren and Volinsky)", gt=0, le=1
    )
    early_stopping: int = param(
        0,
        "native: stop after this many iterations without a better validation nDCG; 0: never",
        ge=0,
    )
    warm_start: str | None = param(
        None, "native: exported bundle whose factors start the training, matched by id"
    )


@dataclass(frozen=True)
class EvaluateParams:
    """How recommendations are judged."""

    split: str = param(
        "validation", "whose held-out plays are the truth", choices=("validation", "test")
    )
    k: tuple[int, ...] = param((10, 20, 50, 100, 500), "list lengths of the metrics", ge=1)
    neighbours: int = param(100, "neighbours an item of the item-based baseline", ge=1)
    bootstrap_samples: int = param(1000, "resamples of the bootstrap intervals", ge=100)
    seed: int = param(42, "seed of the bootstrap", ge=0, le=MAX_SEED)


@dataclass(frozen=True)
class ExportParams:
    """The serving bundle."""

    n_trees: int = param(10, "trees of the bundle's Annoy index", ge=1)
    seed: int = param(42, "seed of the Annoy index", ge=0, le=MAX_SEED)


@dataclass(frozen=True)
class AnnBenchParams:
    """Approximate against exact search."""

    k: int = param(500, "list length", ge=1)
    arms: tuple[str, ...] = param(
        ("exact_seed", "exact_gemv", "exact", "annoy_dot", "annoy"),
        "search methods to compare",
        choices=(
            "exact_seed",
            "exact_gemv",
            "exact",
            "annoy_dot",
            "annoy",
            "faiss_flat",
            "faiss_ivf",
            "hnsw",
        ),
    )
    n_trees: tuple[int, ...] = param((1, 5, 10, 30), "Annoy: number of trees", ge=1)
    search_k: tuple[int, ...] = param(
        (100, 500, 1000, 5000, 10000, 50000, 100000, 500000), "Annoy: nodes to inspect", ge=1
    )
    n_queries: int = param(100, "query users, the first by hash of (seed, user)", ge=1)
    repeats: int = param(2, "timed runs of each setting; the best counts", ge=1)
    seed: int = param(42, "seed of the indexes and of the choice of query users", ge=0, le=MAX_SEED)


@dataclass(frozen=True)
class Params:
    """All blocks of params.yaml."""

    sample: SampleParams
    data: DataParams
    downsample: DownsampleParams
    feedback: FeedbackParams
    als: ALSParams
    evaluate: EvaluateParams
    export: ExportParams
    ann_bench: AnnBenchParams


def load_params(path: str | os.PathLike[str] = "params.yaml") -> Params:
    """Read and check params.yaml; a key left out takes its default.

    Raises
    ------
    MusicRecError
        The file is missing or not YAML; a key is unknown; a value has the wrong type or is out
        of range. The sentence names the key, the value and what is allowed.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MusicRecError(f"{path}: no such parameter file") from None
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise MusicRecError(f"{path}: not valid YAML: {reason}") from None
    return _build(Params, {} if content is None else content, "", str(path))


def _build(cls: type, content: Any, prefix: str, path: str) -> Any:
    where = prefix.rstrip(".") or "the top level"
    if not isinstance(content, dict):
        raise MusicRecError(f"{path}: {where} must be a block of keys, not {content!r}")
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for key in content:
        if key not in fields:
            raise MusicRecError(
                f"{path}: unknown parameter {prefix}{key}; {where} has: {', '.join(fields)}"
            )
    hints = typing.get_type_hints(cls)
    values = {}
    for name, field in fields.items():
        kind = hints[name]
        if dataclasses.is_dataclass(kind):
            values[name] = _build(kind, content.get(name, {}), f"{prefix}{name}.", path)  # type: ignore[arg-type]
        elif name in content:
            values[name] = _check(content[name], kind, field, f"{prefix}{name}", path)
        else:
            values[name] = field.default
    return cls(**values)


def _check(value: Any, kind: Any, field: dataclasses.Field[Any], name: str, path: str) -> Any:
    if typing.get_origin(kind) is tuple:
        items = value if isinstance(value, list) else [value]  # -S evaluate.k=10 writes a scalar
        if not items:
            raise MusicRecError(f"{path}: {name} is an empty list; it needs at least one value")
        element = typing.get_args(kind)[0]
        checked = tuple(_check(item, element, field, name, path) for item in items)
        if len(set(checked)) != len(checked):
            raise MusicRecError(f"{path}: {name} = {value!r} names a value twice")
        return checked
    is_union = typing.get_origin(kind) in (types.UnionType, typing.Union)
    allowed = typing.get_args(kind) if is_union else (kind,)
    converted = _convert(value, allowed)
    rules = field.metadata
    choices = rules["choices"]
    in_range = converted is not _WRONG and (choices is None or converted in choices)
    if in_range and isinstance(converted, int | float) and not isinstance(converted, bool):
        in_range = (
            math.isfinite(converted)
            and (rules["ge"] is None or converted >= rules["ge"])
            and (rules["gt"] is None or converted > rules["gt"])
            and (rules["le"] is None or converted <= rules["le"])
            and (rules["lt"] is None or converted < rules["lt"])
        )
    if not in_range:
        raise MusicRecError(
            f"{path}: {name} = {value!r} is not allowed; it must be {describe(kind, rules)}"
        )
    return converted


_WRONG = object()


def _convert(value: Any, allowed: tuple[Any, ...]) -> Any:
    if value is None:
        return None if type(None) in allowed else _WRONG
    if isinstance(value, bool):
        return value if bool in allowed else _WRONG
    if isinstance(value, int):
        return value if int in allowed else float(value) if float in allowed else _WRONG
    if isinstance(value, float):
        if float in allowed:
            return value
        return int(value) if int in allowed and value.is_integer() else _WRONG
    if isinstance(value, str):
        if str in allowed:
            return value
        if float in allowed:  # YAML 1.1 reads 1e-05, which is how DVC writes it, as a string
            try:
                return float(value)
            except ValueError:
                return _WRONG
    return _WRONG


def describe(kind: Any, rules: Any) -> str:
    """Say in words which values a parameter may take, for errors and for the documentation."""
    if typing.get_origin(kind) is tuple:
        return "a list, each " + describe(typing.get_args(kind)[0], rules)
    if rules["choices"] is not None:
        return "one of " + ", ".join(
            str(choice).lower() if isinstance(choice, bool) else str(choice)
            for choice in rules["choices"]
        )
    names = {
        int: "a whole number",
        float: "a number",
        str: "text",
        bool: "true or false",
        type(None): "null",
    }
    is_union = typing.get_origin(kind) in (types.UnionType, typing.Union)
    words = " or ".join(names[t] for t in (typing.get_args(kind) if is_union else (kind,)))
    signs = (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))
    bounds = " and ".join(
        f"{sign} {rules[key]:.12g}" for key, sign in signs if rules[key] is not None
    )
    return f"{words} {bounds}".strip()


def parameter_table() -> str:
    """Describe every parameter as a Markdown table: name, default, allowed values, meaning."""
    rows = ["| parameter | default | allowed | meaning |", "|---|---|---|---|"]
    rows += _table_rows(Params, "")
    return "\n".join(rows)


def _table_rows(cls: type, prefix: str) -> list[str]:
    rows = []
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        kind, name = hints[field.name], f"{prefix}{field.name}"
        if dataclasses.is_dataclass(kind):
            rows += _table_rows(kind, f"{name}.")  # type: ignore[arg-type]
            continue
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        shown = yaml.safe_dump(default, default_flow_style=True).split("\n")[0]
        allowed = describe(kind, field.metadata)
        rows.append(f"| `{name}` | `{shown}` | {allowed} | {field.metadata['doc']} |")
    return rows


if __name__ == "__main__":
    print(parameter_table())
