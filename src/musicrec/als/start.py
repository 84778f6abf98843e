"""Starting factors: those of Spark MLlib, so that both engines set out alike, or a projection."""

from __future__ import annotations

import numpy as np

from musicrec.als.projection import projected_users
from musicrec.interactions.matrix import Interactions
from musicrec.jit.kernel import kernel
from musicrec.params import ALSParams

_MIX = 0x9E3775CD9E3775CD
_LOW = 0xFFFFFFFF
_ARRAY_SEED = 0x3C074A61  # Scala's seed for hashing arrays


def start_users(
    plays: Interactions,
    params: ALSParams,
    by_item: Interactions | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """Starting factors of the users as `als.init` says; zero for those without plays.

    Parameters
    ----------
    by_item : Interactions, optional
        The plays transposed, if they are at hand.
    threads : int, optional
        See `parallel.thread_count`.

    Returns
    -------
    float32 array (n_users, rank)
    """
    if params.init == "random":
        return random_users(plays, params)
    both = (plays, by_item or plays.transpose())
    users = projected_users(both, params.rank, params.seed, threads)
    return np.abs(users) if params.nonnegative else users


def random_users(plays: Interactions, params: ALSParams) -> np.ndarray:
    """Unit vectors of random direction for the users with plays, zero for the others.

    The same numbers as MLlib's with `als.seed` and `als.num_blocks` (user u lies in block
    u mod num_blocks, a generator a block), to the last bit or the one before it.

    Returns
    -------
    float32 array (n_users, rank)
    """
    users = np.zeros((plays.n_users, params.rank), np.float32)
    generator = xorshift_state(params.seed)
    first_long = _next_long(generator)
    present = np.flatnonzero(plays.lengths)
    for block in range(params.num_blocks):
        state = xorshift_state(_byteswap(first_long ^ block))
        members = present[present % params.num_blocks == block]
        _fill_unit_vectors(users, members, state)
    return users


def xorshift_state(seed: int) -> np.ndarray:
    """State, as one uint64, of Spark's XORShiftRandom of a seed."""
    text = (seed & (2**64 - 1)).to_bytes(8, "big")
    low = _murmur3(text, _ARRAY_SEED)
    high = _murmur3(text, low)
    return np.array([high << 32 | low], np.uint64)


def _byteswap(value: int) -> int:
    value = value * _MIX % 2**64
    return int.from_bytes(value.to_bytes(8, "little"), "big") * _MIX % 2**64


def _murmur3(data: bytes, seed: int) -> int:
    """MurmurHash3 x86 32 (A. Appleby) of whole four-byte words."""
    h = seed
    for i in range(0, len(data), 4):
        k = int.from_bytes(data[i : i + 4], "little") * 0xCC9E2D51 & _LOW
        k = (k << 15 | k >> 17) & _LOW
        h ^= k * 0x1B873593 & _LOW
        h = (h << 13 | h >> 19) & _LOW
        h = (h * 5 + 0xE6546B64) & _LOW
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & _LOW
    h = (h ^ h >> 13) * 0xC2B2AE35 & _LOW
    return h ^ h >> 16


def _next_long(state: np.ndarray) -> int:
    high, low = _next_bits(state, 32), _next_bits(state, 32)
    return ((high << 32) + (low - (low >> 31 << 32))) % 2**64  # the low half counts as signed


@kernel()
def _next_bits(state, bits):
    """Advance Marsaglia's xorshift and return its low bits."""
    x = state[0]
    x ^= x << np.uint64(21)
    x ^= x >> np.uint64(35)
    x ^= x << np.uint64(4)
    state[0] = x
    return np.int64(x & np.uint64((1 << bits) - 1))


@kernel()
def _next_double(state):
    high = _next_bits(state, 26)
    return ((high << 27) + _next_bits(state, 27)) * 2.0**-53


@kernel()
def _fill_unit_vectors(users, members, state):
    """Fill rows with normal deviates (Marsaglia's polar method, as in Java) of unit length."""
    rank = users.shape[1]
    spare = 0.0
    has_spare = False
    for user in members:
        for k in range(rank):
            if has_spare:
                users[user, k] = spare
                has_spare = False
                continue
            s = 0.0
            x = 0.0
            while s >= 1.0 or s == 0.0:
                x = 2.0 * _next_double(state) - 1.0
                spare = 2.0 * _next_double(state) - 1.0
                s = x * x + spare * spare
            scale = np.sqrt(-2.0 * np.log(s) / s)
            users[user, k] = x * scale
            spare *= scale
            has_spare = True
        squares = np.float64(0.0)
        for k in range(rank):
            squares += np.float64(users[user, k]) * np.float64(users[user, k])
        length = np.float32(np.sqrt(squares))
        for k in range(rank):
            users[user, k] *= np.float32(1.0) / length
