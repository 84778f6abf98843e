"""What is read, and what is bad of it: counted over all files, and said in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from musicrec.errors import MusicRecError
from musicrec.ingest.read.judge import Bad
from musicrec.ingest.read.reader import Piece
from musicrec.ingest.read.reasons import REASONS
from musicrec.ingest.read.times import FORMS
from musicrec.ingest.source.files import SourceFile
from musicrec.params import DataParams

_SHARE = 0.01  # of the rows, from which something is warned of
ALSO_IN_TRAIN = "also_in_train"


class _First(NamedTuple):
    """The first bad row of a reason: its file, its number there, and what it holds."""

    file: SourceFile
    bad: Bad
    number: int


class Tally:
    """Counts the rows of a source.

    Attributes
    ----------
    rows : Counter
        Table -> rows, bad ones too.
    rejected : dict
        Table -> Counter of reasons.
    seen : Counter
        Of `judge.Judged`.
    """

    def __init__(self, tables: list[str], params: DataParams) -> None:
        """Count nothing yet."""
        self._params = params
        self.rows: Counter[str] = Counter(dict.fromkeys(tables, 0))
        self.rejected: dict[str, Counter[str]] = {table: Counter() for table in tables}
        self.seen: Counter[str] = Counter()
        self._first: dict[str, _First] = {}
        self._forms = 0
        self._file: SourceFile | None = None
        self._lines = 0

    def add(self, piece: Piece) -> None:
        """Count a piece; those of a file come one after the other."""
        table, file, judged = piece
        if file is not self._file:
            self._file, self._lines = file, 0
        self.rows[table] += judged.rows
        self.seen.update(judged.seen)
        self._forms |= judged.forms
        for reason, bad in judged.bad.items():
            self.rejected[table][reason] += bad.rows
            self._first.setdefault(reason, _First(file, bad, self._lines + bad.number))
        self._lines += judged.lines

    def require_good(self) -> None:
        """Stop at a table without rows, or without good ones, and at bad rows that are errors.

        Raises
        ------
        MusicRecError
            The sentence names the most frequent reason, and the first row that has it.
        """
        params = self._params
        for table, rows in self.rows.items():
            where = params.source if len(self.rows) == 1 else f"{params.source}: {table}"
            if not rows:
                raise MusicRecError(f"{where} has no rows")
            if params.on_bad_rows == "drop":
                self._require_some_left(where, rows, self.rejected[table])
        if params.on_bad_rows == "error" and self._first:
            raise MusicRecError(self._bad_rows())

    def _require_some_left(self, where: str, rows: int, rejected: Counter[str]) -> None:
        """All rows bad: the source was misunderstood."""
        if sum(rejected.values()) < rows:
            return
        reason = _most_frequent(rejected)
        role, words, advice = REASONS[reason]
        column = f"column {getattr(self._params.columns, role)!r} is" if role else "it has"
        share = "all" if rejected[reason] == rows else f"{rejected[reason]:,} of them"
        raise MusicRecError(
            f"{where}: no usable row is left of {rows:,}: {share} because {column} {words}; "
            + (advice or "check data.columns")
        )

    def _bad_rows(self) -> str:
        total: Counter[str] = Counter()
        for rejected in self.rejected.values():
            total.update(rejected)
        reason = _most_frequent(total)
        role, words, advice = REASONS[reason]
        first = self._first[reason]
        rows, others = total[reason], total.total() - total[reason]
        what = "a line has"
        if role:
            what = f"column {getattr(self._params.columns, role)!r} is"
        unit = "line" if first.file.relative and not self._is_parquet(first.file) else "row"
        where = f"{unit} {first.number:,}"
        if role:
            where += f", user {_shown(first.bad.user)}, track {_shown(first.bad.track)}"
        also = ""
        if others:
            more = "row is" if others == 1 else "rows are"
            also = f"; {others:,} more {more} bad in other ways"
        if role == "count" and reason == "count_fractional":
            also += f"; {rows / sum(self.rows.values()):.1%} of the rows have fractions"
        hint = f"{advice}, " if advice else ""
        return (
            f"{first.file.shown}: {what} {words} in {rows:,} row{'s' * (rows != 1)}, first in "
            f"{_shown(first.bad.value)} ({where}){also}; {hint}fix the source or set "
            "data.on_bad_rows: drop"
        )

    def _is_parquet(self, file: SourceFile) -> bool:
        with file.open() as stream:
            return stream.read(4) == b"PAR1"

    def warnings(self) -> Iterator[str]:
        """What is no mistake by itself but seldom meant."""
        params, rows = self._params, sum(self.rows.values())
        source, seen = params.source, self.seen
        for role in ("user", "track"):
            found = seen[f"null words {role}"]
            if found and found >= _SHARE * rows:
                yield (
                    f"{source}: column {getattr(params.columns, role)!r} holds words such as NULL, "
                    f"None or nan in {found:,} of {rows:,} rows, each of which becomes one {role}; "
                    "if they stand for a missing id, set data.null_words: usual"
                )
        if seen["header_lines"]:
            yield f"{source}: {seen['header_lines']:,} header lines amid the rows are left out"
        column = params.columns.timestamp
        if seen["times_of_zero"]:
            yield (
                f"{source}: column {column!r} is 0 (1970) in {seen['times_of_zero']:,} of "
                f"{rows:,} rows, which count as the oldest plays"
            )
        if seen["times_too_early"]:
            yield (
                f"{source}: column {column!r} is -1 or before 1950 in "
                f"{seen['times_too_early']:,} of {rows:,} rows, as programs write a missing time; "
                "they count as the oldest plays"
            )
        names = [name for name, bit in FORMS.items() if self._forms & bit]
        if len(names) > 1:
            yield (
                f"{source}: column {column!r} mixes {' and '.join(names)}; all were turned into "
                "seconds by their size"
            )
        if seen["fell_back"]:
            yield (
                f"{source}: column {params.columns.track!r} is null or blank in "
                f"{seen['fell_back']:,} of {rows:,} rows ({seen['fell_back'] / rows:.1%}), whose "
                f"track is that of {params.columns.track_else!r}"
            )

    def source(self) -> dict[str, Any]:
        """`rows`, `rejected_rows` and `rejected` by reason, and what else was counted."""
        total: Counter[str] = Counter()
        for rejected in self.rejected.values():
            total.update(rejected)
        found: dict[str, Any] = {"rows": sum(self.rows.values()), **_rejected(total)}
        if self._params.columns.timestamp is not None:
            found["times_of_zero"] = self.seen["times_of_zero"]
        if self._params.keep is not None:
            found["rows_filtered"] = self.seen["filtered"]
        if self._params.columns.track_else is not None:
            found["rows_of_track_else"] = self.seen["fell_back"]
        return found

    def of_table(self, table: str) -> dict[str, Any]:
        """`rejected_rows` and `rejected` of one table."""
        return _rejected(self.rejected[table])


def _most_frequent(rejected: Counter[str]) -> str:
    order = list(REASONS)
    return min(rejected, key=lambda reason: (-rejected[reason], order.index(reason)))


def _rejected(reasons: Counter[str]) -> dict[str, Any]:
    order = [*REASONS, ALSO_IN_TRAIN]
    found = {reason: reasons[reason] for reason in order if reasons[reason]}
    return {"rejected_rows": sum(found.values()), "rejected": found}


def _shown(value: str | None) -> str:
    return "null" if value is None else repr(value if len(value) <= 80 else value[:77] + "...")
