"""`data.keep`: which rows count, said in a small language over columns; no code is ever run.

A condition is a comparison of a column with a value (`==`, `!=`, `<`, `<=`, `>`, `>=`) or `column
is [not] null`, joined by `and`, `or`, `not` and brackets. A column is a name (in backticks where it
has blanks or signs) or a position such as `#3`; a value is a number, a text in quotes, `true` or
`false`. Numbers are compared as numbers, all else as text. A comparison with a null is false, but
for `!=`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.errors import MusicRecError

_TOKEN = re.compile(
    r"'(?P<one>[^']*)'|\"(?P<two>[^\"]*)\"|(?P<number>[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])"
    r"|`(?P<quoted>[^`]+)`|#(?P<place>\d+)|(?P<word>[^\W\d][\w.]*)|(?P<sign>[^\s()<>=!])"
)
_WORDS = {"and": "and", "or": "or", "not": "not", "is": "is", "null": "None"}
_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Eq: "equal", ast.NotEq: "not_equal", ast.Lt: "less", ast.LtE: "less_equal",
    ast.Gt: "greater", ast.GtE: "greater_equal",
}  # fmt: skip
_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
Fields = dict[str | int, pa.Array]
Test = Callable[[Fields, str], np.ndarray]


class Condition:
    """A parsed one: the `columns` it reads, and `matches`, (fields, file) -> bool (n)."""

    def __init__(self, text: str) -> None:
        """Parse `data.keep`."""
        self.columns: list[str | int] = []
        self._known: dict[str, Any] = {}  # c0, c1, … a column; v0, v1, … a value
        try:  # Python's grammar, of which nothing is left but columns, values, words and signs
            tree = ast.parse(_TOKEN.sub(self._name, text).replace("\n", " ").strip(), mode="eval")
            self.matches = self._condition(tree.body)
        except (SyntaxError, ValueError, IndexError, RecursionError):
            raise MusicRecError(
                f"data.keep = {text!r} cannot be read: it must be like: ms_played >= 30000 and "
                "device == 'phone', with ==, !=, <, <=, >, >=, is null, and, or, not, brackets; "
                "other names stand between backticks, such as `skipped?`, and positions are #4"
            ) from None

    def _name(self, token: re.Match[str]) -> str:
        """A name of Python's for a column or a value."""
        kind, text = str(token.lastgroup), token[str(token.lastgroup)]
        if kind == "word" and text.lower() in _WORDS:
            return f" {_WORDS[text.lower()]} "
        if kind == "sign":
            raise ValueError(text)
        is_value = kind in ("one", "two", "number")
        is_value |= kind == "word" and text.lower() in ("true", "false")
        name = f"{'v' if is_value else 'c'}{len(self._known)}"
        self._known[name] = float(text) if kind == "number" else text
        if not is_value:
            self._known[name] = int(text) if kind == "place" else text
            self.columns.append(self._known[name])
        return f" {name} "

    def _condition(self, node: ast.expr) -> Test:
        match node:
            case ast.BoolOp(op, parts):
                conditions = [self._condition(part) for part in parts]
                join = np.logical_and if isinstance(op, ast.And) else np.logical_or
                return lambda fields, file: join.reduce([c(fields, file) for c in conditions])
            case ast.UnaryOp(ast.Not(), operand):
                inner = self._condition(operand)
                return lambda fields, file: ~inner(fields, file)
            case ast.Compare(ast.Name(name), [ast.Is() | ast.IsNot() as op], [ast.Constant(None)]):
                if name[0] == "c":
                    column, negated = self._known[name], isinstance(op, ast.IsNot)
                    return lambda fields, file: _is_null(fields[column]) != negated
            case ast.Compare(ast.Name(name), [op], [ast.Name(other)]) if type(op) in _COMPARE:
                if name[0] + other[0] == "cv":
                    column, sign, value = self._known[name], _COMPARE[type(op)], self._known[other]
                    return lambda fields, file: _compared(
                        fields[column], sign, value, f"{file}: {column!r}"
                    )
        raise ValueError("no condition")


def _is_null(column: pa.Array) -> np.ndarray:
    blank = column.is_null()
    if pa.types.is_dictionary(column.type) or pa.types.is_string(column.type):
        blank = pc.or_(blank, pc.fill_null(pc.equal(column.cast(pa.string()), ""), True))
    return np.asarray(blank.to_numpy(zero_copy_only=False))


def _compared(column: pa.Array, sign: str, value: str | float, title: str) -> np.ndarray:
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind):
        raise MusicRecError(f"{title} (data.keep) holds {kind} values, which cannot be compared")
    if isinstance(value, float):
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            texts = column.cast(pa.string())
            number = pc.match_substring_regex(texts, _NUMBER)
            column = pc.if_else(number, pc.utf8_trim_whitespace(texts), None)
        column = column.cast(pa.float64(), safe=False)
    else:
        column = column.cast(pa.string())
        if value.lower() in ("true", "false"):
            column, value = pc.utf8_lower(column), value.lower()
    found = getattr(pc, sign)(column, pa.scalar(value))
    return np.asarray(pc.fill_null(found, sign == "not_equal").to_numpy(zero_copy_only=False))
