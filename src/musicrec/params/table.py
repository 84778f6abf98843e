"""The parameters as a Markdown table, printed by `python -m musicrec.params.table`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from musicrec.params.all import MODELS
from musicrec.params.load import allowed


def parameter_table(shipped: Mapping[str, Any]) -> str:
    """Describe every parameter: name, values, what is allowed, meaning.

    Parameters
    ----------
    shipped : mapping
        Content of params.yaml.
    """
    rows = [
        "| parameter | params.yaml | if left out | allowed | meaning |",
        "|---|---|---|---|---|",
    ]
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
        values = " | ".join(f"`{_as_yaml(value)}`" for value in (shipped[name], default))
        yield f"| `{prefix}{name}` | {values} | {allowed(field)} | {field.description} |"


def _as_yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=200).split("\n")[0]


if __name__ == "__main__":
    print(parameter_table(yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))))
