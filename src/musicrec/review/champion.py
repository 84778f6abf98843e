"""The champion that a revision was judged beside (`evaluate.champion`), to compare it with."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.baselines.lists import CHAMPION
from musicrec.errors import MusicRecError
from musicrec.evaluate.judge import described
from musicrec.interactions.earlier import MANIFEST, PUBLISH_FIRST
from musicrec.metrics.definitions import METRICS
from musicrec.project.revisions import Judged, Revision
from musicrec.review.compare import per_user
from musicrec.review.tested import TABLE
from musicrec.storage.outputs import is_stage_output


class Champion(Judged):
    """The files of a revision, but in the per-user table the metrics of its champion.

    Parameters
    ----------
    head : Revision
    folder : path, optional
        The bundle that it must be; by default whichever `evaluate.champion` named.

    Raises
    ------
    MusicRecError
        The revision was judged beside no champion, or another one, or the folder has no bundle that
        stays.
    """

    def __init__(self, head: Revision, folder: str | os.PathLike[str] | None = None) -> None:
        """Take the champion's columns."""
        vars(self).update(vars(head))
        self._head = head
        table = per_user(head)
        about = described(table.schema).get(CHAMPION)
        wanted = os.fspath(folder or (about or {}).get("folder", "FOLDER"))
        if is_stage_output(Path(self.root, wanted)):
            raise MusicRecError(PUBLISH_FIRST.format(wanted))
        manifest = Path(self.root, wanted, MANIFEST)
        if folder and not manifest.is_file() and wanted != (about or {}).get("folder"):
            raise MusicRecError(f"{wanted}: no bundle there")
        again = f"to judge {wanted}: `dvc exp run -S evaluate.champion={wanted}`"
        if about is None:
            raise MusicRecError(f"{head.name} was judged beside no champion; {again}")
        now = hashlib.sha256(manifest.read_bytes()).hexdigest() if manifest.is_file() else None
        if now not in (about["digest"], None):
            other = f", not {wanted}" if wanted != about["folder"] else ", which was replaced since"
            raise MusicRecError(f"{head.name} was judged beside {about['folder']}{other}; {again}")
        self.name, self.champion = CHAMPION, about
        mine = [name for name in table.column_names if name.partition("@")[0] not in METRICS]
        theirs = f"{CHAMPION}_"
        columns = {name: table.column(name) for name in mine if not name.startswith(theirs)}
        columns |= {
            name.removeprefix(theirs): table.column(name)
            for name in table.column_names
            if name.startswith(theirs)
        }
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(columns).replace_schema_metadata(table.schema.metadata), sink)
        self._table = sink.getvalue().to_pybytes()

    def read(self, path: str) -> bytes | None:
        """Bytes of a file; None where it does not exist."""
        return self._table if path == TABLE else self._head.read(path)
