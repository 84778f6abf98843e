"""What ingest makes of a source before it merges."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from musicrec.errors import MusicRecError
from musicrec.ingest.run import open_source
from musicrec.params import DataParams


@dataclass
class Found:
    """Its rows, or the sentence it stops with."""

    sentence: str = ""
    plays: list[tuple[str, str, int]] = field(default_factory=list)
    bad: Counter = field(default_factory=Counter)
    files: set[str] = field(default_factory=set)
    times: list = field(default_factory=list)


def read_source(params: DataParams) -> Found:
    """Read and check every row of a source."""
    found = Found()
    try:
        pieces = list(open_source(params).pieces())
        if not any(checked.rows for _, _, checked in pieces):
            raise MusicRecError(f"{params.source} has no rows")
    except MusicRecError as error:
        found.sentence = str(error)
        return found
    for _, file, checked in pieces:
        found.files.add(file.shown)
        plays = checked.good.to_pydict()
        columns = plays["user_id"], plays["track_id"], plays["count"]
        found.plays += list(zip(*columns, strict=True))
        found.times += [time / 1e6 for time in plays.get("time", [])]
        found.bad.update(checked.bad)
    found.plays.sort()
    return found


def read_many(sources: dict[str, DataParams]) -> dict[str, Found]:
    """Read and check every row of each source."""
    return {name: read_source(params) for name, params in sources.items()}
