"""Which Java is taken, and what is said where there is none."""

import pytest

from musicrec.errors import MusicRecError
from musicrec.spark.java import find_java, java_version


def fake_java(folder, prints):
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho '{prints}' >&2\n")
    java.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("prints", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ("nothing of the kind", None),
    ],
)
def test_java_version(tmp_path, prints, version):
    home = fake_java(tmp_path / "jdk", prints)
    assert java_version(home / "bin" / "java") == version


def test_java_home_comes_before_path(tmp_path, monkeypatch):
    chosen = fake_java(tmp_path / "home", 'openjdk version "21"')
    other = fake_java(tmp_path / "path", 'openjdk version "17"')
    monkeypatch.setenv("PATH", f"{other / 'bin'}:/bin:/usr/bin")
    monkeypatch.setenv("JAVA_HOME", str(chosen))
    assert find_java() == chosen / "bin" / "java"
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "gone"))
    assert find_java() == other / "bin" / "java"


def test_old_java_is_named_in_the_sentence(tmp_path, monkeypatch):
    old = fake_java(tmp_path / "old", 'java version "1.8.0_402"')
    monkeypatch.setenv("PATH", f"{old / 'bin'}:/bin")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: str(old / "bin" / "java"))
    with pytest.raises(MusicRecError, match=r"is version 8; install one") as caught:
        find_java()
    assert "\n" not in str(caught.value)
