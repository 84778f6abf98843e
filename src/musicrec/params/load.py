"""Reading params.yaml: one block at a time, every mistake in one sentence.

A block is a frozen pydantic model in the module of its name, so that a stage depends on the
blocks it reads and on nothing of the others.
"""

from __future__ import annotations

import difflib
import os
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar

import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from musicrec.errors import MusicRecError

BLOCKS = (
    "sample",
    "data",
    "downsample",
    "feedback",
    "als",
    "baselines",
    "evaluate",
    "export",
    "ann_bench",
)
RENAMED = {"ann_bench.arms": "ann_bench.methods", "evaluate.neighbours": "baselines.neighbours"}
RENAMED_VALUES = {("ann_bench.methods", "exact_seed"): "exact_argsort"}


class Group(BaseModel):
    """Parameters that belong together."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)

    def replace(self, **changes: Any) -> Self:
        """Copy with some values changed, checked as those of a file are."""
        return type(self).model_validate({**dict(self), **changes})


class Block(Group):
    """One block of params.yaml."""

    block: ClassVar[str]


def _float(value: Any) -> Any:
    """YAML 1.1 reads 1e-05, which is how DVC writes it, as text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _tuple(value: Any) -> Any:
    """`-S evaluate.k=10` writes a scalar."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise PydanticCustomError("list", "is an empty list; it needs at least one value")
    if len(set(values)) != len(values):
        raise PydanticCustomError("list", "names a value twice")
    return values


T = TypeVar("T")
Float = Annotated[float, BeforeValidator(_float), Field(allow_inf_nan=False)]
Whole = Annotated[int, BeforeValidator(_whole)]
Seed = Annotated[Whole, Field(ge=0, le=2**31 - 1)]  # what every generator in use takes
Several = Annotated[tuple[T, ...], BeforeValidator(_tuple), AfterValidator(_distinct)]

B = TypeVar("B", bound=Block)


def load_block(path: str | os.PathLike[str], block: type[B]) -> B:
    """Read one block of a parameter file; a key left out takes its default.

    Raises
    ------
    MusicRecError
        The file is missing or not YAML; a block or a key of this block is unknown; a value has
        the wrong type or is out of range. The sentence names key, value and what is allowed.
    """
    return check_block(read_blocks(path), block, path)


def read_blocks(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a parameter file as YAML and check the names of its blocks."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MusicRecError(f"{path}: no such parameter file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MusicRecError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise MusicRecError(f"{path}: the top level must be a block of keys, not {content!r}")
    for name in content:
        if name not in BLOCKS:
            raise MusicRecError(
                f"{path}: unknown parameter {name}{near(str(name), BLOCKS)}; the top level has: "
                + ", ".join(BLOCKS)
            )
    return content


def check_block(content: dict[str, Any], block: type[B], path: str | os.PathLike[str]) -> B:
    """Check one block of what `read_blocks` returned; raises as `load_block` does."""
    values = content.get(block.block, {})
    try:
        return block.model_validate(values)
    except ValidationError as error:
        raise MusicRecError(f"{path}: {_sentence(error, block, values)}") from None


def _sentence(error: ValidationError, block: type[Block], values: Any) -> str:
    mistake = error.errors()[0]
    name, field = block.block, None
    model: type[BaseModel] = block
    for step in mistake["loc"]:
        known = model.model_fields.get(step) if isinstance(step, str) else None
        if field is not None or known is None:
            break
        name = f"{name}.{step}"
        values = values.get(step) if isinstance(values, dict) else values
        if isinstance(known.annotation, type) and issubclass(known.annotation, BaseModel):
            model = known.annotation
        else:
            field = known
    if mistake["type"] == "extra_forbidden":
        return _unknown(f"{name}.{mistake['loc'][-1]}", name, model)
    if field is None:
        return f"{name} must be a block of keys, not {values!r}"
    if mistake["type"] == "list":
        return f"{name} {mistake['msg']}" if not values else f"{name} = {values!r} {mistake['msg']}"
    wrong = mistake["input"] if isinstance(values, list) else values
    renamed = RENAMED_VALUES.get((name, wrong)) if isinstance(wrong, str) else None
    hint = f"; {wrong} is now called {renamed}" if renamed else ""
    return f"{name} = {wrong!r} is not allowed; it must be {allowed(field)}{hint}"


def _unknown(key: str, where: str, model: type[BaseModel]) -> str:
    if key in RENAMED:
        return f"{key} is now called {RENAMED[key]}; rename it"
    fields = list(model.model_fields)
    suggestion = near(key.rpartition(".")[2], fields, f"{where}.")
    return f"unknown parameter {key}{suggestion}; {where} has: {', '.join(fields)}"


def near(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Suggest the known name that a mistyped one is most like: ` (did you mean als.rank?)`."""
    likely = difflib.get_close_matches(name, list(known), 1)
    return f" (did you mean {prefix}{likely[0]}?)" if likely else ""


def allowed(field: FieldInfo) -> str:
    """Say in words which values a parameter may take, for errors and for the documentation."""
    return _described(field.annotation, list(field.metadata))


def _described(kind: Any, rules: list[Any]) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return _described(arguments[0], [*arguments[1:], *rules])
    if origin is tuple:
        return "a list, each " + _described(arguments[0], [])
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_described(part, []) for part in arguments)
    names = {
        int: "a whole number",
        float: "a number",
        str: "text",
        bool: "true or false",
        type(None): "null",
    }
    bounds = _bounds(rules)
    return names[kind] + (f" {bounds}" if bounds else "")


def _bounds(rules: list[Any]) -> str:
    flat = [r for rule in rules for r in (rule.metadata if isinstance(rule, FieldInfo) else [rule])]
    signs = ((Ge, "ge", ">="), (Gt, "gt", ">"), (Le, "le", "<="), (Lt, "lt", "<"))
    return " and ".join(
        f"{sign} {getattr(rule, name):.12g}"
        for kind, name, sign in signs
        for rule in flat
        if isinstance(rule, kind)
    )
