"""`data.aliases`: tracks under their good ids, as Audioscrobbler's `artist_alias.txt` has them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from musicrec.errors import MusicRecError
from musicrec.ingest.source.files import SourceFile
from musicrec.ingest.source.packed import open_plain


class Aliases:
    """Bad ids and the good one of each; both empty where there are none."""

    def __init__(self, pairs: dict[str, str], name: str) -> None:
        """Follow chains of aliases to their ends.

        Raises
        ------
        MusicRecError
            Aliases lead in a circle.
        """
        good = {}
        for bad in pairs:
            seen, end = {bad}, pairs[bad]
            while end in pairs and pairs[end] != end:
                if end in seen:
                    raise MusicRecError(f"{name}: the aliases of {bad!r} lead in a circle")
                seen.add(end)
                end = pairs[end]
            good[bad] = end
        self._bad = pa.array(list(good), pa.string())
        self._good = pa.array(list(good.values()), pa.string())

    def applied(self, ids: pa.DictionaryArray) -> pa.DictionaryArray:
        """The good ids."""
        if not len(self._bad):
            return ids
        places = pc.index_in(ids.dictionary, value_set=self._bad)
        texts = pc.if_else(places.is_valid(), self._good.take(places), ids.dictionary)
        return pa.DictionaryArray.from_arrays(ids.indices, texts)


NO_ALIASES = Aliases({}, "")


def read_aliases(file: SourceFile) -> Aliases:
    """Read lines of two ids, a bad one and the good one, with a tab, comma or blank between them.

    Raises
    ------
    MusicRecError
        A line does not hold two ids; an id has two good ones; aliases lead in a circle.
    """
    pairs: dict[str, str] = {}
    with open_plain(file) as stream:
        for number, line in enumerate(stream.read().decode("utf-8-sig", "replace").splitlines(), 1):
            if not line.strip():
                continue
            separator = next((s for s in ("\t", ",") if s in line), None)
            fields = [field.strip() for field in line.split(separator)]
            if fields[1:] and not all(fields):
                continue  # Audioscrobbler's file has lines without the bad id
            if len(fields) != 2:
                raise MusicRecError(
                    f"{file.shown}: line {number}, {line[:60]!r}, does not hold two ids, a bad "
                    "one and the good one"
                )
            if pairs.setdefault(fields[0], fields[1]) != fields[1]:
                raise MusicRecError(f"{file.shown}: line {number}: {fields[0]!r} has two good ids")
    return Aliases(pairs, file.shown)


def find_aliases(name: str | None, files: list[SourceFile]) -> SourceFile | None:
    """The file of `data.aliases`: one of the source by its path below it, or a path.

    Raises
    ------
    MusicRecError
        There is no such file.
    """
    if name is None:
        return None
    found = next((file for file in files if file.relative == name), None)
    if found is None:
        path = Path(name)
        if not path.is_file():
            raise MusicRecError(f"data.aliases = {name!r}: no such file in the source or here")
        found = SourceFile(path.name, str(path), path.stat().st_size, name)
    return found
