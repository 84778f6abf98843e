"""Write what follows from the schema: the table of docs/parameters.md, and every params*.yaml.

A key that a params*.yaml does not have gets its default; all stand in the order of the schema,
below the comments at the head of the file.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from musicrec.params import MODELS, allowed, load_params

ROOT = Path(__file__).resolve().parents[1]
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
        yield f"| `{prefix}{name}` | {value} | {_brief(model, name)} | {field.description} |"


def _brief(model: type[BaseModel], name: str) -> str:
    """What `allowed` says, in the fewest words."""
    text = allowed(model, name)
    for long, short in SHORT.items():
        text = text.replace(long, short)
    return text


def _as_yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=200).split("\n")[0]


class _Yaml(yaml.SafeDumper):
    """Writes null as nothing, as DVC does."""


_Yaml.add_representer(
    type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "")
)


def completed(path: Path) -> str:
    """Write a file of parameters with all keys; unknown ones are a MusicRecError."""
    load_params(path)
    text = path.read_text(encoding="utf-8")
    comments = itertools.takewhile(
        lambda line: line.startswith("#"), text.splitlines(keepends=True)
    )
    content = yaml.safe_load(text)
    defaults = {model.block: model().model_dump(mode="json") for model in MODELS}
    filled = yaml.dump(_filled(defaults, content), Dumper=_Yaml, sort_keys=False)
    return "".join(comments) + filled


def _filled(defaults: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _filled(default, content.get(key, {}))
        if isinstance(default, dict)
        else content.get(key, default)
        for key, default in defaults.items()
    }


def generated() -> dict[Path, str]:
    """What the files are to hold."""
    files = {path: completed(path) for path in ROOT.glob("params*.yaml")}
    docs = ROOT / "docs" / "parameters.md"
    head = docs.read_text(encoding="utf-8").partition("| parameter |")[0]
    table = parameter_table(yaml.safe_load(files[ROOT / "params.yaml"]))
    return files | {docs: f"{head}{table}\n"}


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")
