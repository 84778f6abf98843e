"""The serving bundle answers as the factors say, and refuses what is not whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from musicrec.cli import main
from musicrec.errors import MusicRecError
from musicrec.export.bundle import export_bundle
from musicrec.files import write_json
from musicrec.params.als import ALSParams
from musicrec.params.export import ExportParams
from musicrec.params.feedback import FeedbackParams
from musicrec.parquet import read_table, write_table
from musicrec.serve.bundle import Bundle, load_bundle
from musicrec.train.run import train

N_USERS, N_ITEMS = 30, 40
ALS = ALSParams(rank=6, max_iter=4, nonnegative=False)
FEEDBACK = FeedbackParams(transform="log1p", min_count=2)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Indexed plays, with one track and one user unknown to training, and factors."""
    root = tmp_path_factory.mktemp("project")
    draw = np.random.default_rng(7)
    rows = [
        (user, item, int(draw.integers(1, 9)))
        for user in range(N_USERS)
        for item in np.sort(draw.choice(N_ITEMS, 8, replace=False))
    ]
    user, item, count = (np.array(column) for column in zip(*rows, strict=True))
    write_table(
        root / "indexed/train/part-00000.parquet",
        pa.table({"user": user.astype("i4"), "item": item.astype("i4"), "count": count}),
    )
    for name, key, known in (("users", "user", N_USERS), ("items", "item", N_ITEMS)):
        label = "user_id" if key == "user" else "track_id"
        columns = {
            key: pa.array(range(known + 1), pa.int32()),
            label: [f"{key}-{n}" for n in range(known + 1)],
            "plays": pa.array([1] * known + [0], pa.int64()),
        }
        write_table(root / f"indexed/{name}.parquet", pa.table(columns))
    write_json(
        root / "indexed/sizes.json",
        {
            "n_users": N_USERS,
            "n_items": N_ITEMS,
            "n_all_users": N_USERS + 1,
            "n_all_items": N_ITEMS + 1,
        },
    )
    train(root / "indexed", root / "factors", root / "train.json", root / "plots", ALS, FEEDBACK)
    export(root, root / "bundle")
    return root


def export(root: Path, output: Path) -> None:
    export_bundle(root / "indexed", root / "factors", output, ExportParams(n_trees=3))


@pytest.fixture(scope="module")
def bundle(project: Path) -> Bundle:
    return load_bundle(project / "bundle", verify=True)


def plays_of(project: Path, user: int) -> dict[str, int]:
    table = read_table(project / "indexed/train").to_pylist()
    return {f"item-{row['item']}": row["count"] for row in table if row["user"] == user}


def test_recommendations_are_the_sorted_scores_without_seen_tracks(
    project: Path, bundle: Bundle
) -> None:
    for user in range(N_USERS):
        scores = bundle.item_factors @ bundle.user_factors[user]
        order = np.argsort(-scores, kind="stable")
        seen = set(plays_of(project, user))
        expected = [f"item-{item}" for item in order if f"item-{item}" not in seen]
        assert [r.track_id for r in bundle.recommend(f"user-{user}", k=10)] == expected[:10]
        with_seen = bundle.recommend(f"user-{user}", k=10, exclude_seen=False)
        assert [r.track_id for r in with_seen] == [f"item-{item}" for item in order[:10]]


def test_a_search_of_every_node_is_exact(bundle: Bundle) -> None:
    for user in ("user-0", "user-29"):
        assert bundle.recommend(user, 10, search_k=10**6) == bundle.recommend(user, 10)


def test_folding_in_a_training_user_gives_their_factor(project: Path, bundle: Bundle) -> None:
    for user in range(N_USERS):
        plays = {**plays_of(project, user), "item-40": 3, "a stranger": 1}
        items, vector = bundle.fold_in(plays)
        assert len(items) == 8
        np.testing.assert_allclose(vector, bundle.user_factors[user], atol=1e-4)
        assert bundle.recommend_for_plays(plays, 5) != []


def test_plays_that_say_nothing_give_an_empty_list(bundle: Bundle) -> None:
    assert bundle.recommend_for_plays({}) == []
    assert bundle.recommend_for_plays({"a stranger": 9}) == []
    assert bundle.recommend_for_plays({"item-1": 1}) == []  # below feedback.min_count


def test_mistakes_are_one_sentence(project: Path, bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(MusicRecError, match="user 'nobody' is not in"):
        bundle.recommend("nobody")
    with pytest.raises(MusicRecError, match=r"item-1 is 0, not a whole number"):
        bundle.recommend_for_plays({"item-1": 0})
    with pytest.raises(MusicRecError, match=r"no bundle here"):
        load_bundle(tmp_path)
    np.save(tmp_path / "user_factors.npy", np.zeros((2, 6), np.float32))
    np.save(tmp_path / "item_factors.npy", np.zeros((2, 6), np.float32))
    with pytest.raises(MusicRecError, match=r"factors of 2 users and 2 tracks do not fit"):
        export_bundle(project / "indexed", tmp_path, tmp_path / "b", ExportParams())
    assert not (tmp_path / "b").exists()


def test_a_damaged_bundle_is_refused(project: Path, tmp_path: Path) -> None:
    export(project, tmp_path / "b")
    factors = tmp_path / "b" / "item_factors.npy"
    whole = factors.read_bytes()
    factors.write_bytes(whole[:-1] + b"\xff")
    load_bundle(tmp_path / "b")  # the length is right: only the hash can tell
    with pytest.raises(MusicRecError, match=r"item_factors\.npy: differs from the manifest"):
        load_bundle(tmp_path / "b", verify=True)
    factors.write_bytes(whole[:-1])
    with pytest.raises(MusicRecError, match="differs from the manifest"):
        load_bundle(tmp_path / "b")
    factors.unlink()
    with pytest.raises(MusicRecError, match="missing from the bundle"):
        load_bundle(tmp_path / "b")


def test_the_same_bytes_again(project: Path, tmp_path: Path) -> None:
    export(project, tmp_path / "again")
    first = {p.name: p.read_bytes() for p in (project / "bundle").iterdir()}
    assert first == {p.name: p.read_bytes() for p in (tmp_path / "again").iterdir()}


def test_the_command_line_prints_what_the_library_says(
    project: Path, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(project / "bundle")
    assert main(["recommend", "--bundle", folder, "--user", "user-3", "-k", "4"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == [r.track_id for r in bundle.recommend("user-3", 4)]
    assert main(["recommend", "--bundle", folder, "--plays", "item-1=5", "item-2=x"]) == 1
    assert capsys.readouterr().err == "error: item-2=x: play count 'x' is not a whole number\n"
    assert main(["recommend", "--bundle", folder, "--plays", "a stranger=5"]) == 1
    assert "nothing to recommend" in capsys.readouterr().err
    assert main(["recommend", "--bundle", folder, "--plays", "item-1=5", "item-2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 10
