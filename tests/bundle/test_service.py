"""The service that docs/serving.md shows, word for word, asked by a real client."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from musicrec.bundle import load_bundle
from tests.support.served import make_project, plays_of

pytest.importorskip("fastapi", reason="the extra `serve` is not installed (make setup-bench)")
pytest.importorskip("httpx", reason="FastAPI's test client wants httpx (make setup-bench)")

PAGE = Path(__file__).resolve().parents[2] / "docs/serving.md"


@pytest.fixture
def client(project, monkeypatch):
    from fastapi.testclient import TestClient

    (code,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
        if "FastAPI" in block
    )
    data = project / "data"
    if not data.exists():
        data.mkdir()
        (data / "bundle").symlink_to(project / "bundle")
    monkeypatch.chdir(project)
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    return TestClient(names["app"])


def test_the_service_answers_as_the_bundle_does(project, bundle, client):
    found = client.get("/recommend", params={"user": "Sigur Rós", "k": 4}).json()
    answer = bundle.recommend("Sigur Rós", 4)
    assert [track["track_id"] for track in found["tracks"]] == answer.track_ids
    assert found["tracks"][0]["score"] == answer[0].score
    plays = {**plays_of(project, 3), "a stranger": 2}
    found = client.post("/recommend", params={"k": 4}, json=plays).json()
    assert found["unknown"] == ["a stranger"]
    expected = bundle.recommend_for_plays(plays, 4).track_ids
    assert [track["track_id"] for track in found["tracks"]] == expected


def test_another_bundle_is_taken_up_and_no_request_is_lost(project, bundle, client, tmp_path):
    other = load_bundle(make_project(tmp_path / "other", seed=8) / "bundle")
    expected = {tuple(one.recommend("user-3", 4).track_ids): one.root for one in (bundle, other)}
    assert len(expected) == 2
    link, moved, answered = project / "data/bundle", threading.Event(), Counter[Path]()

    def ask():
        while not moved.is_set():
            response = client.get("/recommend", params={"user": "user-3", "k": 4})
            assert response.status_code == 200
            tracks = tuple(track["track_id"] for track in response.json()["tracks"])
            answered[expected[tracks]] += 1

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        try:
            for target in (other.root, bundle.root):
                (tmp_path / "link").symlink_to(target)
                (tmp_path / "link").replace(link)
                before, start = answered[target], time.monotonic()
                while answered[target] == before and time.monotonic() < start + 60:
                    time.sleep(0.05)
                assert answered[target] > before
        finally:
            moved.set()
        for one in asking:
            one.result()


def test_mistakes_are_told_and_do_not_stop_it(client):
    for response in (
        client.get("/recommend", params={"user": "nobody"}),
        client.get("/recommend", params={"user": "user-1", "k": -1}),
        client.post("/recommend", json={"item-1": 0}),
    ):
        assert response.status_code == 400 and response.json()["error"]
        assert "/" not in response.json()["error"]  # no path of the server
    assert client.post("/recommend", json={"item-1": "many"}).status_code == 422
    assert client.get("/recommend", params={"user": "user-1"}).status_code == 200
