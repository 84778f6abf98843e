"""Loading: everything is open and checked on return, and what is not whole is refused."""

from __future__ import annotations

import copy
import json
import multiprocessing
import pickle
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from musicrec.bundle import Bundle, load_bundle
from musicrec.errors import MusicRecError
from musicrec.storage.files import fingerprint
from tests.support.plays import contents
from tests.support.served import N_USERS, export, make_project, name_of

USERS = [name_of("user", user) for user in range(N_USERS)]


@pytest.fixture
def folder(project, tmp_path):
    """A bundle of this test's own."""
    return Path(shutil.copytree(project / "bundle", tmp_path / "bundle"))


def answers(bundle: Bundle) -> list[object]:
    """An answer of every kind."""
    kinds = [bundle.recommend_many(USERS, 7), bundle.recommend_for_plays({"item-1": 3, "7": 2}, 7)]
    kinds += [bundle.recommend(USERS[0], 7, search_k=20), bundle.similar_tracks("item-2", 7)]
    kinds += [bundle.similar_users(USERS[1], 7), bundle.explain(USERS[0], "item-3")]
    return [*kinds, bundle.fold_in_track({USERS[0]: 2}).tolist()]


def test_the_same_bytes_again(project, tmp_path):
    export(project, tmp_path / "again")
    assert contents(project / "bundle") == contents(tmp_path / "again")


def test_what_becomes_of_the_folder_changes_no_answer(bundle, folder, tmp_path, monkeypatch):
    expected = answers(bundle)
    monkeypatch.chdir(folder.parent)
    loaded = load_bundle("bundle")  # by a path that stops being right
    monkeypatch.chdir("/")
    assert answers(loaded) == expected
    folder.rename(tmp_path / "moved")
    assert answers(loaded) == expected
    other = make_project(tmp_path / "other", seed=8)
    (other / "bundle").rename(folder)
    assert answers(loaded) == expected != answers(load_bundle(folder))
    shutil.rmtree(folder)
    shutil.rmtree(tmp_path / "moved")
    assert answers(loaded) == expected


def test_a_bundle_in_memory_survives_being_overwritten(bundle, folder):
    loaded = load_bundle(folder, in_memory=True)
    for path in folder.iterdir():
        path.write_bytes(b"")
    assert answers(loaded) == answers(bundle)


def test_copies_and_pickles_answer_alike(bundle, folder, tmp_path):
    expected = answers(bundle)
    loaded = load_bundle(folder)
    assert answers(loaded) == expected  # also asks Annoy, whose objects cannot be pickled
    small = pickle.dumps(loaded)
    assert len(small) < 1000
    assert answers(copy.deepcopy(loaded)) == answers(pickle.loads(small)) == expected
    shutil.rmtree(folder)
    assert answers(pickle.loads(pickle.dumps(loaded))) == expected
    with pytest.raises(MusicRecError, match="no bundle here"):
        pickle.loads(small)
    (make_project(tmp_path / "other", seed=8) / "bundle").rename(folder)
    with pytest.raises(MusicRecError, match="another bundle than the one that was pickled"):
        pickle.loads(small)


def test_worker_processes_and_threads_answer_alike(bundle):
    expected = answers(bundle)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(answers, bundle).result() == expected
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(answers, [bundle] * 32)) == [expected] * 32


def test_a_bundle_does_not_change(bundle):
    with pytest.raises(AttributeError, match="cannot assign"):
        bundle.root = "elsewhere"
    with pytest.raises(ValueError, match="read-only"):
        bundle.item_factors[0] = 0
    with pytest.raises(ValueError, match="WRITEABLE"):
        bundle.item_factors.flags.writeable = True


def refused(folder: Path, sentence: str) -> None:
    with pytest.raises(MusicRecError, match=sentence) as caught:
        load_bundle(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def test_no_bundle(folder, tmp_path):
    refused(tmp_path / "nowhere", "no bundle here")
    refused(tmp_path, "no bundle here")
    refused(folder / "manifest.json", "no bundle here")


@pytest.mark.parametrize("name", ["item_factors.npy", "index.ann", "users.parquet"])
def test_a_missing_cut_or_altered_file(folder, name):
    path = folder / name
    content = path.read_bytes()
    altered = content[:-1] + bytes([content[-1] ^ 1])
    for change in (altered, content[:-1], content + b"\0", b""):
        path.write_bytes(change)
        refused(folder, f"{name}: differs from the manifest")
    path.unlink()
    refused(folder, f"{name}: No such file or directory; take an undamaged copy")
    path.mkdir()
    refused(folder, f"{name}: differs from the manifest")


def edited(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "not a manifest"),
        (b'{"format": 2', "not a manifest"),
        (b'{"format": 4}', "bundle format 4, but this version reads 2 and 3"),
        (b'{"format": "\xff"}', "not a manifest|bundle format"),
        (b"[" * 100_000, "not a manifest"),
        (b"{}", "bundle format"),
    ],
)
def test_a_manifest_that_is_none(folder, content, sentence):
    (folder / "manifest.json").write_bytes(content)
    refused(folder, sentence)


def test_a_manifest_that_says_what_cannot_be(folder):
    original = (folder / "manifest.json").read_text()
    manifest = json.loads(original)
    files, sizes = manifest["files"], manifest["sizes"]
    for changes, sentence in (
        ({"files": files | {"../secret": files["index.ann"]}}, r"lists '\.\./secret', which is no"),
        ({"files": {}}, "or does not list it"),
        ({"sizes": sizes | {"n_items": "1"}}, "sizes.n_items"),
        ({"sizes": sizes | {"n_items": -1}}, "arrays do not fit the sizes"),
        ({"arrays": {}}, "arrays do not fit the sizes"),
        ({"als": {}}, "rank"),
        ({"als": manifest["als"] | {"alpha": "much"}}, "als.alpha"),
        ({"als": manifest["als"] | {"rank": 7}}, "als.rank = 7"),
        ({"feedback": {"min_count": 0}}, "feedback.min_count"),
        ({"files": files | {"index.ann": files["index.ann"] | {"bytes": 0}}}, "index.ann"),
        ({"sentinels": [{"user": "nobody", "exact": [], "near": []}]}, "'nobody'"),
        ({"sentinels": [manifest["sentinels"][0] | {"exact": ["x"]}]}, "gets other tracks"),
        ({"more": 1}, "more"),
    ):
        (folder / "manifest.json").write_text(original)
        edited(folder, **changes)
        refused(folder, sentence)


def test_a_manifest_with_any_other_value_is_refused_or_answers(folder):
    """A hundred values taken away or replaced, whatever they are."""
    draw = np.random.default_rng(20_240_817)
    hostile = (None, -1, 0, 7, 2**63, 10**30, 1.5, "", "nan", "../x", "\0", [], [0], {}, True)
    original = (folder / "manifest.json").read_text()
    outcomes = {"refused": 0, "answered": 0}
    for _ in range(100):
        block = manifest = json.loads(original)
        key = draw.choice(list(block))
        while block[key] and isinstance(block[key], dict | list) and draw.random() < 0.8:
            block = block[key]
            key = draw.choice(list(block)) if isinstance(block, dict) else 0
        if draw.random() < 0.2:
            del block[key]
        else:
            block[key] = hostile[draw.integers(len(hostile))]
        (folder / "manifest.json").write_text(json.dumps(manifest))
        try:
            assert len(load_bundle(folder).recommend(USERS[0], 5)) == 5
            outcomes["answered"] += 1
        except MusicRecError as error:
            assert "\n" not in str(error) and len(str(error)) < 500
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 0, outcomes


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((40, 6)),
        np.zeros((40, 7), np.float32),
        np.asfortranarray(np.zeros((40, 6), np.float32)),
        np.array([None], object),  # which is not unpickled
    ],
)
def test_an_array_of_another_type_or_shape_than_its_manifest_says(folder, array):
    path = folder / "item_factors.npy"
    np.save(path, array, allow_pickle=True)
    files = json.loads((folder / "manifest.json").read_text())["files"]
    edited(folder, files=files | {path.name: fingerprint(path)})
    refused(folder, r"item_factors\.npy: not <f4 of shape \[40, 6\]")


def test_the_former_place_is_deprecated():
    sys.modules.pop("musicrec.serve.bundle", None)
    with pytest.warns(DeprecationWarning, match="from musicrec.bundle import load_bundle"):
        from musicrec.serve.bundle import load_bundle as former
    assert former is load_bundle


def test_an_index_that_answers_wrongly(folder, monkeypatch):
    from musicrec.search import annoy_index

    class Lonely(annoy_index.Forest):
        """Annoy 1.17.3 on some systems: one neighbour, whatever is asked."""

        def get_nns_by_vector(self, *args: object) -> list[int]:
            return super().get_nns_by_vector(*args)[:1]

    monkeypatch.setattr(annoy_index, "Forest", Lonely)
    refused(folder, "Annoy finds 1 of the 39 tracks indexed there; run make setup")


def test_format_2_is_read_and_answers_alike(bundle, folder):
    """Version 0.1 wrote the ids in the order of their bytes as well."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, ids in (("user_id_order", bundle.users), ("track_id_order", bundle.tracks)):
        order = np.array(sorted(range(len(ids)), key=lambda i: ids[i].encode()), np.int32)
        np.save(folder / f"{name}.npy", order)
        manifest["arrays"][name] = {"dtype": "<i4", "shape": [len(ids)]}
        manifest["files"][f"{name}.npy"] = fingerprint(folder / f"{name}.npy")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    refused(folder, "arrays do not fit the sizes")
    edited(folder, format=2)
    assert answers(load_bundle(folder)) == answers(bundle)
