"""How much memory there is, and what fits."""

import os

import pytest

from musicrec.errors import MusicRecError
from musicrec.interactions import memory

TOTAL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(autouse=True)
def system(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CONTAINER", tmp_path)
    return tmp_path


def test_a_system_that_says_nothing_has_all_its_memory():
    assert memory.available_memory() == TOTAL


def test_the_least_of_system_and_container_counts(system):
    (system / "meminfo").write_text("MemTotal: 99 kB\nMemFree: 1 kB\nMemAvailable:   5000 kB\n")
    assert memory.available_memory() == 5000 * 1024
    (system / "memory.max").write_text("max\n")
    (system / "memory.current").write_text("1000\n")
    assert memory.available_memory() == 5000 * 1024
    (system / "memory.max").write_text("4001000\n")
    assert memory.available_memory() == 4_000_000
    (system / "memory.stat").write_text("anon 5\ninactive_file 600\n")  # of read files, given up
    assert memory.available_memory() == 4_000_600
    (system / "memory.current").write_text("5000000\n")
    assert memory.available_memory() == 0


def test_half_of_it_is_taken_at_once_and_no_more_than_all(system):
    (system / "meminfo").write_text("MemAvailable: 1000 kB\n")
    most = 1000 * 1024 // 2 // memory.ROW_BYTES
    assert memory.fits_in_memory(most) and not memory.fits_in_memory(most + 1)
    memory.require_memory(2 * most, "plays")
    with pytest.raises(MusicRecError, match=r"plays: an eighth of its plays, 11,000, takes 1 MB"):
        memory.require_memory(11_000, "plays")
