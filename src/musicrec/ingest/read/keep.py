"""`data.keep`: which rows count, said in a small language over columns; no code is ever run.

    condition  = both ("or" both)*
    both       = one ("and" one)*
    one        = "not" one | "(" condition ")" | column comparison
    comparison = ("==" | "!=" | "<" | "<=" | ">" | ">=") literal | "is" ["not"] "null"
    literal    = number | 'text' | "text" | true | false

A column is a name (in backticks where it has blanks or signs) or a position such as `#3`. Numbers
are compared as numbers, all else as text. A comparison with a null is false, but for `!=`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.errors import MusicRecError

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'[^']*'|\"[^\"]*\")|(?P<number>[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])"
    r"|(?P<sign><=|>=|==|!=|<|>|\(|\))|`(?P<quoted>[^`]+)`|#(?P<place>\d+)"
    r"|(?P<word>[^\W\d][\w.]*))"
)
_WORDS = ("and", "or", "not", "is", "null", "true", "false")
_COMPARE: dict[str, Callable[[pa.Array, pa.Scalar], pa.Array]] = {
    "==": pc.equal, "!=": pc.not_equal, "<": pc.less, "<=": pc.less_equal, ">": pc.greater,
    ">=": pc.greater_equal,
}  # fmt: skip
_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
Fields = dict[str | int, pa.Array]
Condition = Callable[[Fields, str], np.ndarray]


class Filter:
    """A parsed condition.

    Attributes
    ----------
    columns : list
        Names and positions of the columns it reads.
    """

    def __init__(self, text: str) -> None:
        """Parse `data.keep`.

        Raises
        ------
        MusicRecError
            The text is none of this language.
        """
        self._text, self._place = text, 0
        self.columns: list[str | int] = []
        self._tokens = self._cut()
        self._matches = self._condition()
        if self._place < len(self._tokens):
            raise self._wrong(f"{self._tokens[self._place][1]!r} is not expected there")

    def matches(self, fields: Fields, file: str) -> np.ndarray:
        """Which rows the condition holds for: bool (n).

        Raises
        ------
        MusicRecError
            A column holds neither text, numbers nor true and false.
        """
        return self._matches(fields, file)

    def _wrong(self, what: str) -> MusicRecError:
        return MusicRecError(
            f"data.keep = {self._text!r} cannot be read: {what}; it must be like: ms_played >= "
            "30000 and skipped != true"
        )

    def _cut(self) -> list[tuple[str, str]]:
        tokens, place = [], 0
        text = self._text.rstrip()
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None:
                raise self._wrong(f"{text[place:].strip()[:20]!r} is no column, word or value")
            kind = str(match.lastgroup)
            value = match[kind]
            if kind == "word" and value.lower() in _WORDS:
                kind, value = "keyword", value.lower()
            tokens.append((kind, value))
            place = match.end()
        return tokens

    def _next(self, *kinds: str) -> tuple[str, str]:
        if self._place == len(self._tokens):
            raise self._wrong("it ends too early")
        token = self._tokens[self._place]
        if token[0] not in kinds:
            raise self._wrong(f"{token[1]!r} is not expected there")
        self._place += 1
        return token

    def _took(self, kind: str, value: str) -> bool:
        found = self._tokens[self._place : self._place + 1] == [(kind, value)]
        self._place += found
        return found

    def _condition(self) -> Condition:
        parts = [self._both()]
        while self._took("keyword", "or"):
            parts.append(self._both())
        return lambda fields, file: np.logical_or.reduce([part(fields, file) for part in parts])

    def _both(self) -> Condition:
        parts = [self._one()]
        while self._took("keyword", "and"):
            parts.append(self._one())
        return lambda fields, file: np.logical_and.reduce([part(fields, file) for part in parts])

    def _one(self) -> Condition:
        if self._took("keyword", "not"):
            inner = self._one()
            return lambda fields, file: ~inner(fields, file)
        if self._took("sign", "("):
            inner = self._condition()
            if not self._took("sign", ")"):
                raise self._wrong("a closing bracket is missing")
            return inner
        kind, name = self._next("word", "quoted", "place")
        column: str | int = int(name) if kind == "place" else name
        self.columns.append(column)
        if self._took("keyword", "is"):
            negated = self._took("keyword", "not")
            self._expect_null()
            return lambda fields, file: _is_null(fields[column]) != negated
        _, sign = self._next("sign")
        if sign not in _COMPARE:
            raise self._wrong(f"{sign!r} is not expected there")
        kind, value = self._next("number", "text", "keyword")
        if kind == "keyword" and value not in ("true", "false"):
            raise self._wrong(f"{value!r} is not expected there")
        literal: str | float = value[1:-1] if kind == "text" else value
        if kind == "number":
            literal = float(value)
        return lambda fields, file: _compared(fields[column], sign, literal, f"{file}: {column!r}")

    def _expect_null(self) -> None:
        if not self._took("keyword", "null"):
            raise self._wrong("null is expected after is")


def _is_null(column: pa.Array) -> np.ndarray:
    blank = column.is_null()
    if pa.types.is_dictionary(column.type) or pa.types.is_string(column.type):
        blank = pc.or_(blank, pc.fill_null(pc.equal(column.cast(pa.string()), ""), True))
    return np.asarray(blank.to_numpy(zero_copy_only=False))


def _compared(column: pa.Array, sign: str, literal: str | float, title: str) -> np.ndarray:
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind):
        raise MusicRecError(f"{title} (data.keep) holds {kind} values, which cannot be compared")
    if isinstance(literal, float):
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            texts = column.cast(pa.string())
            number = pc.match_substring_regex(texts, _NUMBER)
            column = pc.if_else(number, pc.utf8_trim_whitespace(texts), None)
        values = column.cast(pa.float64(), safe=False)
    else:
        values = column.cast(pa.string())
        if literal in ("true", "false"):
            values = pc.utf8_lower(values)
    found = _COMPARE[sign](values, pa.scalar(literal))
    return np.asarray(pc.fill_null(found, sign == "!=").to_numpy(zero_copy_only=False))
