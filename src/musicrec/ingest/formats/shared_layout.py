"""What the text files of one source must share: separator, quotes, and having a header or not."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable

from musicrec.errors import MusicRecError
from musicrec.ingest.formats.header import KNOWN_NAMES, plain_title
from musicrec.ingest.formats.table_text import Dialect, choose_quoting
from musicrec.ingest.formats.text_layout import TextLayout, head_lines, text_layout
from musicrec.ingest.source.source_file import HEAD, SourceFile
from musicrec.params import DataParams

_SAMPLE = 50  # files a dialect whose first lines are looked at together
_LINES = 1000  # of each
_WARNINGS = 3

Laid = tuple[TextLayout, SourceFile]
Head = Callable[[SourceFile], bytes]


def with_shared_dialects(found: list[Laid], params: DataParams, head: Head) -> list[Laid]:
    """Let text files that were looked at one by one agree on separator and quotes.

    A small file, seen alone, may be cut in several ways. It takes the separator of most of the
    source where that cuts it into as many columns, and files of one separator share their quotes.

    Parameters
    ----------
    head : callable
        Reads a file's first `HEAD` bytes, unpacked.

    Raises
    ------
    MusicRecError
        A file is no table in the dialect of the others; only some have the header that
        `data.header: true` speaks of.
    """
    if len({layout.dialect.separator for layout, _ in found}) > 1 and params.separator == "auto":
        found = _with_main_separator(found, params, head)
    for separator in sorted({layout.dialect.separator for layout, _ in found}):
        mine = [laid for laid in found if laid[0].dialect.separator == separator]
        if len({layout.dialect for layout, _ in mine}) > 1:
            dialect = _dialect_of_all(mine, separator, params, head)
            found = [
                _again(laid, dialect, params, head) if laid in mine and laid[0].dialect != dialect
                else laid
                for laid in found
            ]  # fmt: skip
    _require_same_header(found, params)
    return found


def warn_of_layouts(layouts: list[TextLayout]) -> None:
    """Print what was decided and may be wrong, of the first files only where there are many."""
    sentences = [sentence for layout in layouts for sentence in layout.warnings]
    for sentence in sentences[:_WARNINGS]:
        print(f"warning: {sentence}", file=sys.stderr)
    if len(sentences) > _WARNINGS:
        print(f"warning: {len(sentences) - _WARNINGS:,} more files are like that", file=sys.stderr)


def _with_main_separator(found: list[Laid], params: DataParams, head: Head) -> list[Laid]:
    sizes: Counter[str] = Counter()
    for layout, file in found:
        sizes[layout.dialect.separator] += file.size
    main = max(sizes, key=lambda separator: sizes[separator])
    widths = {len(layout.fields) for layout, _ in found if layout.dialect.separator == main}
    like = next(layout.dialect for layout, _ in found if layout.dialect.separator == main)
    shared = []
    for layout, file in found:
        laid = layout, file
        if layout.dialect.separator != main:
            try:
                other = _again(laid, like, params, head)
            except MusicRecError:
                other = laid
            if len(other[0].fields) in widths:
                laid = other
        shared.append(laid)
    return shared


def _dialect_of_all(mine: list[Laid], separator: str, params: DataParams, head: Head) -> Dialect:
    seen: Counter[Dialect] = Counter()
    lines: list[str] = []
    for layout, file in mine:
        seen[layout.dialect] += 1
        if seen[layout.dialect] <= _SAMPLE:
            text = head(file)
            lines += head_lines(text, file.shown, whole=len(text) < HEAD)[:_LINES]
    return choose_quoting(lines, separator, params.quote)


def _again(laid: Laid, dialect: Dialect, params: DataParams, head: Head) -> Laid:
    _, file = laid
    text = head(file)
    whole = len(text) < HEAD
    return text_layout(text, params, file.shown, whole=whole, dialect=dialect), file


def _require_same_header(found: list[Laid], params: DataParams) -> None:
    """Stop where a first line that `data.header: true` leaves out is none like the others."""
    user, track = params.columns.user, params.columns.track
    if params.header is not True or not isinstance(user, int) or not isinstance(track, int):
        return
    first: Laid | None = None
    for layout, file in found:
        if max(user, track) >= len(layout.titles):
            continue
        mine = tuple(plain_title(layout.titles[place]) for place in (user, track))
        if first is None:
            first = layout, file
            expected = mine
        known = all(_known(t) in names for t, names in zip(mine, KNOWN_NAMES, strict=True))
        if mine != expected and not known:
            raise MusicRecError(
                f"{file.shown}: with data.header: true its first line, "
                f"{' | '.join(layout.titles)[:80]!r}, would be left out as the header, but that of "
                f"{first[1].shown} is {' | '.join(first[0].titles)[:80]!r}; give all files the "
                "same header or none"
            )


def _known(title: str) -> str:
    return "".join(sign for sign in title if sign.isalnum())
