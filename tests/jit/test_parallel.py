"""Blocks on several threads."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from musicrec.jit.parallel import for_blocks, using_threads


@pytest.mark.parametrize("threads", [1, 3])
def test_every_block_is_done_once(threads):
    done = np.zeros(20, int)

    def work(start, stop):
        done[start:stop] += 1

    with using_threads(threads):
        for_blocks(work, [0, 3, 4, 11, 20])
    assert (done == 1).all()


def test_the_first_exception_is_raised_again():
    def work(start, stop):
        if start >= 5:
            raise ValueError(f"block {start}")

    with pytest.raises(ValueError, match="block 5"), using_threads(2):
        for_blocks(work, list(range(12)))


def test_an_interrupt_cancels_the_blocks_that_have_not_begun(monkeypatch):
    """The first block sends it; the others go on once those that wait have been cancelled."""
    cancelled = threading.Event()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            cancelled.set()
            super().shutdown(wait)

    monkeypatch.setattr("musicrec.jit.parallel.ThreadPoolExecutor", Pool)
    begun: list[int] = []

    def work(start, stop):
        begun.append(start)
        if start == 0:
            os.kill(os.getpid(), signal.SIGINT)
        else:
            assert cancelled.wait(60)

    with pytest.raises(KeyboardInterrupt), using_threads(2):
        for_blocks(work, list(range(200)))
    assert len(begun) <= 3
