"""Answers as a table for people or as JSON for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from musicrec.bundle.answers import Answer, Explanation, Neighbour
from musicrec.errors import MusicRecError
from musicrec.reporting.markdown import text_table

Labels = Mapping[str, str]
NUMBERS = ("", "count", "part", "score", "listeners", "cosine")  # columns that stand right


def tell_answer(answer: Answer, labels: Labels, as_json: bool) -> None:
    """Print recommended tracks; what is not ordinary about them goes to standard error.

    Raises
    ------
    MusicRecError
        There is none.
    """
    if answer.unknown:
        _note(f"unknown to the model and left out: {', '.join(answer.unknown)}")
    if not answer:
        raise MusicRecError(answer.note)
    if answer.note:
        _note(answer.note)
    tracks = [_named(asdict(found), found.track_id, labels) for found in answer]
    if as_json:
        _json({"tracks": tracks, "source": answer.source, "unknown": list(answer.unknown)})
        return
    score = "listeners" if answer.source == "popularity" else "score"
    rows = [
        (str(place), found.track_id, labels.get(found.track_id, ""), _number(found.score, score))
        for place, found in enumerate(answer, 1)
    ]
    _table(("", "track", "name", score), rows, bool(labels))


def tell_neighbours(found: Sequence[Neighbour], kind: str, labels: Labels, as_json: bool) -> None:
    """Print similar tracks or users.

    Raises
    ------
    MusicRecError
        There is none.
    """
    if not found:
        raise MusicRecError(f"no {kind} is like this one: its factor is zero, or k is 0")
    if as_json:
        neighbours = [
            _named({f"{kind}_id": one.id, "similarity": one.similarity}, one.id, labels)
            for one in found
        ]
        _json({f"{kind}s": neighbours})
        return
    rows = [
        (str(place), one.id, labels.get(one.id, ""), f"{one.similarity:.4f}")
        for place, one in enumerate(found, 1)
    ]
    _table(("", kind, "name", "cosine"), rows, bool(labels))


def tell_explanation(why: Explanation, k: int, labels: Labels, as_json: bool) -> None:
    """Print which plays carried a score: the k largest parts, and the sum of the others."""
    if as_json:
        plays = [_named(asdict(part), part.track_id, labels) for part in why.plays]
        content = {"track_id": why.track_id, "score": why.score, "plays": plays}
        _json(_named(content, why.track_id, labels) | {"remainder": why.remainder})
        return
    shown, rest = why.plays[:k], why.plays[k:]
    rows = [
        (part.track_id, labels.get(part.track_id, ""), f"{part.count:,}", f"{part.part:+.4f}")
        for part in shown
    ]
    others = sum(part.part for part in rest) + why.remainder
    rows.append((f"{len(rest)} others", "", "", f"{others:+.4f}"))
    rows.append((f"score of {why.track_id}", labels.get(why.track_id, ""), "", f"{why.score:.4f}"))
    _table(("play", "name", "count", "part"), rows, bool(labels))


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]], with_names: bool) -> None:
    """Print columns, text to the left and numbers to the right."""
    keep = [i for i, name in enumerate(header) if name != "name" or with_names]
    right = [place for place, i in enumerate(keep) if header[i] in NUMBERS]
    print(text_table([header[i] for i in keep], [[row[i] for i in keep] for row in rows], right))


def _number(value: float, kind: str) -> str:
    return f"{value:,.0f}" if kind == "listeners" else f"{value:.4f}"


def _named(content: dict[str, Any], key: str, labels: Labels) -> dict[str, Any]:
    return content | {"name": labels[key]} if key in labels else content


def _json(content: dict[str, Any]) -> None:
    print(json.dumps(content, indent=2, allow_nan=False))


def _note(sentence: str) -> None:
    print(f"note: {sentence}", file=sys.stderr)
