"""Hundreds of mutations of a bundle: refused in one sentence, or answers that are well formed.

They run in the process of the tests, which a crash would take down with it and a hang hold up.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musicrec.bundle.bundle import Bundle, load_bundle
from musicrec.errors import MusicRecError
from musicrec.search.annoy_index import load_index
from musicrec.storage.files import fingerprint

SEED = 20_240_817
MUTATIONS = 700  # each with and without `verify`
HOSTILE: tuple[Any, ...] = (
    None,
    -1,
    0,
    1,
    7,
    2**31,
    2**63,
    10**30,
    1.5,
    "",
    "nan",
    "../../etc/passwd",
    "item_factors.npy\0",
    [],
    [0],
    {},
    [[[[]]]],
    True,
)


def flip_bits(draw: np.random.Generator, content: bytearray) -> None:
    for place in draw.integers(0, len(content), draw.integers(1, 9)):
        content[place] ^= 1 << int(draw.integers(8))


def flip_in_header(draw: np.random.Generator, content: bytearray) -> None:
    content[int(draw.integers(0, min(128, len(content))))] = int(draw.integers(256))


def cut(draw: np.random.Generator, content: bytearray) -> None:
    del content[int(draw.integers(0, len(content))) :]


def grow(draw: np.random.Generator, content: bytearray) -> None:
    content += draw.bytes(int(draw.integers(1, 4096)))


def scramble(draw: np.random.Generator, content: bytearray) -> None:
    start = int(draw.integers(0, len(content)))
    length = min(int(draw.integers(1, 64)), len(content) - start)
    content[start : start + length] = draw.bytes(length)


def extreme_words(draw: np.random.Generator, content: bytearray) -> None:
    """Put numbers that lead somewhere: children, offsets, infinities."""
    words = np.array([-1, 0, 1, 2**31 - 1, -(2**31), 0x7F800000, 0x7FC00000], np.int64)
    for _ in range(draw.integers(1, 4)):
        place = int(draw.integers(0, max(1, len(content) // 4))) * 4
        content[place : place + 4] = int(draw.choice(words) & 0xFFFFFFFF).to_bytes(4, "little")


CONTENT = (flip_bits, flip_in_header, cut, grow, scramble, extreme_words)


def mutate_file(draw: np.random.Generator, folder: Path, names: list[str]) -> str:
    """Change a file, and half of the time the manifest's fingerprint with it."""
    name = str(draw.choice(names))
    change = CONTENT[draw.integers(len(CONTENT))]
    content = bytearray((folder / name).read_bytes())
    change(draw, content)
    (folder / name).write_bytes(content)
    told = name != "manifest.json" and draw.random() < 0.5
    if told:
        edit_manifest(
            folder, lambda manifest: manifest["files"].update({name: fingerprint(folder / name)})
        )
    return f"{change.__name__} of {name}{', hash renewed' if told else ''}"


def swap_files(draw: np.random.Generator, folder: Path, names: list[str]) -> str:
    """Give two files each other's content, and the manifest their fingerprints."""
    names = [name for name in names if name != "manifest.json"]
    one, other = (folder / str(name) for name in draw.choice(names, 2, replace=False))
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    edit_manifest(
        folder,
        lambda manifest: manifest["files"].update(
            {path.name: fingerprint(path) for path in (one, other)}
        ),
    )
    return f"{one.name} swapped with {other.name}"


def poison_manifest(draw: np.random.Generator, folder: Path, names: list[str]) -> str:
    """Put something else in the place of a value, or take it away."""
    said = []

    def poison(manifest: dict[str, Any]) -> None:
        block, depth = manifest, int(draw.integers(1, 5))
        while True:
            keys = list(block) if isinstance(block, dict) else list(range(len(block)))
            key = keys[draw.integers(len(keys))]
            deeper = block[key]
            depth -= 1
            if depth == 0 or not isinstance(deeper, dict | list) or not deeper:
                break
            block = deeper
        if draw.random() < 0.2:
            del block[key]
        else:
            block[key] = HOSTILE[draw.integers(len(HOSTILE))]
        said.append(f"{key} of the manifest")

    edit_manifest(folder, poison)
    return said[0]


def edit_manifest(folder: Path, edit: Any) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))


def ask(bundle: Bundle) -> None:
    """Ask a question of every kind; an answer has distinct known ids and finite numbers."""
    n_tracks = len(bundle.tracks)
    users = [bundle.users.text_of(index) for index in (0, 3, len(bundle.users) - 1)]
    tracks = [bundle.tracks.text_of(index) for index in (0, n_tracks - 1)]
    known = set(bundle.tracks)
    lists = [bundle.recommend_for_plays(dict.fromkeys(tracks, 3), 5)]
    for user in users:
        lists.append(bundle.recommend(user, 5))
        lists.append(bundle.recommend(user, 5, search_k=50))
        lists.append(bundle.recommend(user, 5, candidates=tracks, diversity=0.5))
        assert math.isfinite(bundle.explain(user, tracks[0]).score)
    for found in lists:
        assert len(found) <= 5 and len(set(found.track_ids)) == len(found)
        assert set(found.track_ids) <= known
        assert all(math.isfinite(one.score) for one in found)
    for near in (bundle.similar_tracks(tracks[0], 5), bundle.similar_users(users[0], 5)):
        assert all(-1 <= one.similarity <= 1 for one in near)
    assert np.isfinite(bundle.fold_in_track({users[0]: 2})).all()


@pytest.mark.parametrize("part", range(7))
def test_mutations(project: Path, tmp_path: Path, part: int) -> None:
    draw = np.random.default_rng((SEED, part))
    source = project / "bundle"
    names = sorted(path.name for path in source.iterdir())
    kinds = [mutate_file] * 6 + [swap_files, poison_manifest, poison_manifest]
    outcomes = {"refused": 0, "answered": 0}
    for number in range(MUTATIONS // 7):
        folder = tmp_path / "bundle"
        shutil.copytree(source, folder)
        what = kinds[draw.integers(len(kinds))](draw, folder, names)
        for verify in (True, False):
            try:
                ask(load_bundle(folder, verify=verify))
                outcomes["answered"] += 1
            except MusicRecError as error:
                assert "\n" not in str(error) and len(str(error)) < 500, what
                outcomes["refused"] += 1
            except Exception as error:
                raise AssertionError(f"mutation {number}: {what}") from error
        shutil.rmtree(folder)
    assert min(outcomes.values()) > 0, outcomes


def test_every_word_of_an_index_is_checked_before_annoy_follows_it(
    project: Path, bundle: Bundle, tmp_path: Path
) -> None:
    whole = (project / "bundle/index.ann").read_bytes()
    path = tmp_path / "index.ann"
    items, query = bundle.item_factors, bundle.user_factors[0]
    outcomes = {"refused": 0, "answered": 0}
    for place in range(0, len(whole), 4):
        for word in (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x00"):
            path.write_bytes(whole[:place] + word + whole[place + 4 :])
            try:
                found, _ = load_index(path, items).search(query, 5, 1000)
                assert set(found.tolist()) <= set(range(len(items)))
                outcomes["answered"] += 1
            except MusicRecError:
                outcomes["refused"] += 1
    assert min(outcomes.values()) > 0, outcomes
