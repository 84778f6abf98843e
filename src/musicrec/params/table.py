"""The parameters as a Markdown table, printed by `python -m musicrec.params.table`."""

from __future__ import annotations

from collections.abc import Iterator

import yaml
from pydantic import BaseModel

from musicrec.params.all import MODELS
from musicrec.params.load import allowed


def parameter_table() -> str:
    """Describe every parameter: name, default, allowed values, meaning."""
    rows = ["| parameter | default | allowed | meaning |", "|---|---|---|---|"]
    for model in MODELS:
        rows += _rows(model, f"{model.block}.")
    return "\n".join(rows)


def _rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _rows(kind, f"{prefix}{name}.")
            continue
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        shown = yaml.safe_dump(default, default_flow_style=True, width=200).split("\n")[0]
        yield f"| `{prefix}{name}` | `{shown}` | {allowed(field)} | {field.description} |"


if __name__ == "__main__":
    print(parameter_table())
