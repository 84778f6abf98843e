"""What is read, and what is bad of it: counted over all files, said in sentences and figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from musicrec.errors import MusicRecError
from musicrec.ingest.read.check import Bad, CheckedRows
from musicrec.ingest.read.values import REASONS
from musicrec.ingest.source.files import SourceFile
from musicrec.params import DataParams
from musicrec.storage.parquet import HISTORIES, SPLITS

_SHARE = 0.01  # of the rows, from which words that may stand for null are warned of
ALSO_IN_TRAIN = "also_in_train"
_ORDER = [*REASONS, ALSO_IN_TRAIN]
# What is a figure where it was counted, as the column or parameter is set.
_FIGURES = ("times_of_zero", "rows_same_listen", "rows_filtered", "rows_of_track_else")
_NULL_WORDS = (
    "column {columns.ROLE!r} holds words such as NULL, None or nan in {found:,} of {rows:,} rows, "
    "each of which becomes one id; if they stand for a missing id, set data.null_words: usual"
)
# Key of `check.CheckedRows.seen` -> a warning.
_SEEN = {
    "null words user": _NULL_WORDS.replace("ROLE", "user"),
    "null words track": _NULL_WORDS.replace("ROLE", "track"),
    "header_lines": "{found:,} header lines amid the rows are left out",
    "times_of_zero": "column {columns.timestamp!r} is 0 (1970), -1 or before 1950 in {found:,} of "
    "{rows:,} rows, as programs write a missing time; they count as the oldest plays",
    "rows_of_track_else": "column {columns.track!r} is null or blank in {found:,} of {rows:,} rows "
    "({share:.1%}), whose track is that of {columns.track_else!r}",
}


class Tally:
    """Counts the rows of a source: all, and bad ones by reason, of each table."""

    def __init__(self, tables: list[str], params: DataParams) -> None:
        """Count nothing yet."""
        self._params = params
        self.rows: Counter[str] = Counter(dict.fromkeys(tables, 0))
        self.rejected: dict[str, Counter[str]] = {table: Counter() for table in tables}
        self.seen: Counter[str] = Counter()
        self._first: dict[str, tuple[SourceFile, Bad]] = {}  # the first bad row of a reason
        self._file: SourceFile | None = None
        self._lines = 0

    def add(self, table: str, file: SourceFile, checked: CheckedRows) -> None:
        """Count some rows; those of a file come one after the other."""
        if file is not self._file:
            self._file, self._lines = file, 0
        self.rows[table] += checked.rows
        self.seen.update(checked.seen)
        self.rejected[table].update(checked.bad)
        for reason, bad in checked.first.items():
            number = self._lines + bad.number
            self._first.setdefault(reason, (file, bad._replace(number=number)))
        self._lines += checked.lines

    def require_good(self) -> None:
        """Stop at a table without rows, or without good ones, and at bad rows that are errors."""
        params = self._params
        for table, rows in self.rows.items():
            where = params.source if len(self.rows) == 1 else f"{params.source}: {table}"
            if not rows:
                raise MusicRecError(f"{where} has no rows")
            rejected = self.rejected[table]
            if params.on_bad_rows == "drop" and rejected.total() == rows:
                reason = _most_frequent(rejected)
                role, words, advice = self._reason(reason)
                share = "all" if rejected[reason] == rows else f"{rejected[reason]:,} of them"
                raise MusicRecError(
                    f"{where}: no usable row is left of {rows:,}: {share} because "
                    f"{self._subject(role, 'it has')} {words}; {advice or 'check data.columns'}"
                )
        if params.on_bad_rows == "error" and self._first:
            raise MusicRecError(self._bad_rows())
        filtered = self.seen["rows_filtered"]
        if filtered and self.rows.total() == filtered + self._total().total():
            raise MusicRecError(
                f"{params.source}: data.keep = {params.keep!r} leaves out all rows; check its "
                "columns and values"
            )

    def _reason(self, reason: str) -> tuple[str, str, str]:
        """Of `REASONS`, and of `data.time_format` where that is set."""
        form = self._params.time_format
        if reason == "timestamp_invalid" and form != "auto":
            return "timestamp", f"not of the form data.time_format = {form!r}", "set it to auto"
        return REASONS[reason]

    def _subject(self, role: str, otherwise: str) -> str:
        return f"column {getattr(self._params.columns, role)!r} is" if role else otherwise

    def _bad_rows(self) -> str:
        total = self._total()
        reason = _most_frequent(total)
        role, words, advice = self._reason(reason)
        file, bad = self._first[reason]
        rows = total[reason]
        with file.open() as stream:
            unit = "row" if stream.read(4) == b"PAR1" else "line"
        where = f"{unit} {bad.number:,}"
        if role:
            where += f", user {_shown(bad.user)}, track {_shown(bad.track)}"
        more = [
            f"{other.replace('_', ' ')} in {total[other]:,}, first in {unit} {there.number:,}"
            + f" of {path.relative}" * (path is not file)
            for other, (path, there) in sorted(self._first.items(), key=_place)
            if other != reason
        ]
        also = f"; more bad rows: {'; '.join(more)}" if more else ""
        if reason == "count_fractional":
            also += f"; {rows / self.rows.total():.1%} of the rows have fractions"
        return (
            f"{file.shown}: {self._subject(role, 'a line has')} {words} in {rows:,} "
            f"row{'s' * (rows != 1)}, first in {_shown(bad.value)} ({where}){also}; "
            f"{advice and advice + ', '}fix the source or set data.on_bad_rows: drop"
        )

    def warnings(self) -> Iterator[str]:
        """What is no mistake by itself but seldom meant."""
        params, rows = self._params, self.rows.total()
        for key, words in _SEEN.items():
            found = self.seen[key]
            if found and (found >= _SHARE * rows or not key.startswith("null words")):
                said = words.format(
                    columns=params.columns, found=found, rows=rows, share=found / rows
                )
                yield f"{params.source}: {said}"

    def _total(self) -> Counter[str]:
        return sum(self.rejected.values(), Counter())

    def source(self) -> dict[str, Any]:
        """`rows`, `rejected_rows` and `rejected` by reason, and what else was counted."""
        found = {"rows": self.rows.total(), **_rejected(self._total())}
        return found | {name: self.seen[name] for name in _FIGURES if name in self.seen}

    def of_table(self, table: str) -> dict[str, Any]:
        """`rejected_rows` and `rejected` of one table."""
        return _rejected(self.rejected[table])


def _place(reason: tuple[str, Any]) -> int:
    return _ORDER.index(reason[0])


def _most_frequent(rejected: Counter[str]) -> str:
    return min(rejected, key=lambda reason: (-rejected[reason], _ORDER.index(reason)))


def _rejected(reasons: Counter[str]) -> dict[str, Any]:
    found = {reason: reasons[reason] for reason in _ORDER if reasons[reason]}
    return {"rejected_rows": sum(found.values()), "rejected": found}


def _shown(value: str | None) -> str:
    return "null" if value is None else repr(value if len(value) <= 80 else value[:77] + "...")


def data_metrics(summary: Mapping[str, Any]) -> dict[str, float | str]:
    """Figures of `metrics/data.json`, from what `ingest.run.ingest` returns."""
    source = summary["source"]
    figures: dict[str, float | str] = {"rows_read": source["rows"]}
    for split in [split for split in SPLITS if split in summary]:
        figures[f"{split}_plays"] = summary[split]["rows"]
        figures[f"{split}_users"] = summary[split]["users"]
        if "until" in summary[split]:
            figures[f"{split}_from"] = summary[split]["from"]
            figures[f"{split}_until"] = summary[split]["until"]
    figures |= {name: source[name] for name in _FIGURES if name in source}
    figures |= summary.get("left_out", {})
    for history in [history for history in HISTORIES if history in summary]:
        figures[f"{history}_plays"] = summary[history]["rows"]
    return figures | {
        "train_tracks": summary["train"]["tracks"],
        "train_mean_count": summary["train"]["count"]["mean"],
        "rows_merged": source["merged_rows"],
        "rows_rejected": source["rejected_rows"],
    }


def sentence(summary: Mapping[str, Any]) -> str:
    """Say in one line what was read, what the splits hold, and what was left out and why."""
    source, train = summary["source"], summary["train"]
    held = " and ".join(
        f"{summary[split]['users']:,} {split}" for split in SPLITS[1:] if split in summary
    )
    said = (
        f"{source['rows']:,} rows read; {train['rows']:,} plays of {train['users']:,} users and "
        f"{train['tracks']:,} tracks to train on; {held} users"
    )
    if not source["rejected"]:
        return said
    reasons = ", ".join(
        f"{reason.replace('_', ' ')} in {rows:,}" for reason, rows in source["rejected"].items()
    )
    rows = source["rejected_rows"]
    return f"{said}; {rows:,} bad row{'s' * (rows > 1)} left out: {reasons}"


def count_rows(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of `plots/data/counts.json`, the table of play counts: one a split."""
    rows = []
    for split in [name for name in (*SPLITS, *HISTORIES) if name in summary]:
        described = summary[split]
        row = {name: value for name, value in described.items() if not isinstance(value, dict)}
        rows.append({"split": split} | row | described["count"])
    return rows


def rejected_rows(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of `plots/data/rejected.json`: how many rows were left out, by reason."""
    reasons = summary["source"]["rejected"]
    return [{"reason": reason, "rows": rows} for reason, rows in sorted(reasons.items())]
