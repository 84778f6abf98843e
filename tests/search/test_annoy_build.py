"""Annoy as `make setup` compiles it: the same bytes everywhere, and a word where it is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from musicrec.search import annoy_build

ROOT = Path(__file__).resolve().parents[2]
FLAGS = r"ANNOY_COMPILER_ARGS=(\S+)"


@pytest.fixture
def other_build(monkeypatch):
    """The installed Annoy gives other bytes than the known ones."""
    monkeypatch.setattr(annoy_build, "SHA256", "0" * 64)
    annoy_build.is_reproducible.cache_clear()
    yield
    annoy_build.is_reproducible.cache_clear()


def test_the_installed_annoy_is_the_one_that_make_setup_compiles(capsys):
    assert annoy_build.is_reproducible(), "run make setup"
    annoy_build.warn_of_another_build()
    assert capsys.readouterr().err == ""


def test_another_build_is_told_in_a_sentence(other_build, capsys):
    annoy_build.warn_of_another_build()
    said = capsys.readouterr().err
    assert said.startswith("warning: the installed Annoy") and said.count("\n") == 1
    assert "run make setup" in said


def test_the_command_by_hand_has_the_flags_of_make_setup():
    by_setup = re.findall(FLAGS, (ROOT / "scripts/setup.sh").read_text())
    by_hand = re.findall(FLAGS, (ROOT / "docs/ann.md").read_text())
    assert len(by_setup) == 1 and by_hand == by_setup
