"""Ids as arrays that can be mapped into memory and searched where they lie."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def id_arrays(ids: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lay ids one behind the other.

    Parameters
    ----------
    ids : string array (n)
        Each once.

    Returns
    -------
    text : uint8 array
        UTF-8.
    starts : int64 array (n + 1)
        Id i is `text[starts[i]:starts[i + 1]]`.
    order : int32 array (n)
        Indices in the order of the ids' bytes.
    """
    texts = ids.cast(pa.large_binary()).combine_chunks()
    if isinstance(texts, pa.ChunkedArray):
        texts = pa.concat_arrays(texts.chunks) if texts.num_chunks else pa.array([], texts.type)
    _, offsets, characters = texts.buffers()
    starts = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    text = np.frombuffer(characters or b"", np.uint8)[starts[0] : starts[-1]]
    order = pc.sort_indices(texts).to_numpy().astype(np.int32)
    return text, starts - starts[0], order
