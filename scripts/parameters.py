"""Print the table of docs/parameters.md: every parameter, what it is, and what it may be."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from musicrec.params import MODELS, allowed

SHORT = {  # the value beside it shows whether a number is whole
    "a whole number >": ">",
    "a number >": ">",
    "a whole number": "integer",
    "one of ": "",
    " and <= 2147483647": "",
    " and <": ", <",
    "a list, each ": "list: ",
    "text or >= 0": "column",
    "list: column": "a list",
    "a duration such as 30m, 12h or 90d": "duration",
    "true or false": "true, false",
    " or null": ", null",
}


def parameter_table(shipped: Mapping[str, Any]) -> str:
    """Describe every parameter: name, values, what is allowed, meaning.

    Parameters
    ----------
    shipped : mapping
        Content of params.yaml.
    """
    rows = ["| parameter | params.yaml | allowed | meaning |", "|---|---|---|---|"]
    for model in MODELS:
        rows += _rows(model, f"{model.block}.", shipped[model.block])
    return "\n".join(rows)


def _rows(model: type[BaseModel], prefix: str, shipped: Mapping[str, Any]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _rows(kind, f"{prefix}{name}.", shipped[name])
            continue
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        value = f"`{_as_yaml(shipped[name])}`"
        if default != shipped[name]:
            value += f" (`{_as_yaml(default)}`)"
        yield f"| `{prefix}{name}` | {value} | {_brief(field)} | {field.description} |"


def _brief(field: FieldInfo) -> str:
    """What `allowed` says, in the fewest words."""
    if typing.get_origin(field.annotation) is typing.Literal:
        return ", ".join(map(str, typing.get_args(field.annotation)))
    text = allowed(field)
    for long, short in SHORT.items():
        text = text.replace(long, short)
    return text


def _as_yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=200).split("\n")[0]


if __name__ == "__main__":
    print(parameter_table(yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))))
