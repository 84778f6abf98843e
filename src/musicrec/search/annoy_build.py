"""Is the installed Annoy the build whose indexes have the same bytes on every machine?

Annoy compiles itself with `-march=native -ffast-math` unless `ANNOY_COMPILER_ARGS` names other
flags. Its distances are then rounded as the processor's vector instructions round them, and the
same factors give other trees on another machine. `make setup` compiles it with flags that leave
the order and rounding of every float32 operation as written; docs/ann.md has the command.

    python -m musicrec.search.annoy_build       # exit code 1 and a sentence: another build
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from functools import cache
from pathlib import Path

from annoy import AnnoyIndex

from musicrec.errors import warn

DIMENSIONS = 21  # a chunk of 16 and of 4, and one over: every path of the vectorised code
ITEMS, TREES = 256, 4
SHA256 = "ff6fbea07b212aedd780e534556fb2f8ba4ca9c5b1d7315c26cc7a302ec5a316"
OTHER_BUILD = (
    "the installed Annoy was compiled with other flags than `make setup` uses: its indexes are "
    "usable, but their bytes cannot be compared with those of another machine; run make setup"
)


@cache
def is_reproducible() -> bool:
    """Build a small index, in two milliseconds, and compare its bytes with those known."""
    forest = AnnoyIndex(DIMENSIONS, "euclidean")
    forest.set_seed(1)
    state, modulus = 1, 2**31 - 1  # Lehmer's generator: the same numbers everywhere
    for item in range(ITEMS):
        vector = []
        for _ in range(DIMENSIONS):
            state = state * 48271 % modulus
            vector.append(state / modulus)
        forest.add_item(item, vector)
    forest.build(TREES, n_jobs=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "known.ann"
        forest.save(str(path))
        forest.unload()
        return hashlib.sha256(path.read_bytes()).hexdigest() == SHA256


def warn_of_another_build() -> None:
    """Print a sentence to standard error if the installed Annoy's bytes are not comparable."""
    if not is_reproducible():
        warn(OTHER_BUILD)


if __name__ == "__main__":
    warn_of_another_build()
    sys.exit(not is_reproducible())
