"""The class archive fits one Java and one set of jars, and its absence is no failure."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from musicrec.prepare import prepare
from musicrec.spark.class_archive import archive_options, archive_path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a Java and a Spark of one jar; the cache lies below it too."""
    java = tmp_path / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.touch()
    (tmp_path / "jdk" / "release").write_text('JAVA_VERSION="17.0.1"\n')
    (tmp_path / "spark" / "jars").mkdir(parents=True)
    (tmp_path / "spark" / "jars" / "a.jar").write_bytes(b"classes")
    monkeypatch.setenv("SPARK_HOME", str(tmp_path / "spark"))
    monkeypatch.setenv("MUSICREC_CACHE", str(tmp_path / "a cache"))
    return tmp_path


def test_another_java_or_jar_has_another_archive(machine: Path) -> None:
    java, jar = machine / "jdk" / "bin" / "java", machine / "spark" / "jars" / "a.jar"
    names = [archive_path(java)]
    assert archive_path(java) == names[0]
    (machine / "jdk" / "release").write_text('JAVA_VERSION="17.0.2"\n')
    names.append(archive_path(java))
    os.utime(jar, (1, 1))
    names.append(archive_path(java))
    (jar.parent / "b.jar").touch()
    names.append(archive_path(java))
    (machine / "jdk" / "release").unlink()
    names.append(archive_path(java))
    assert len(set(names)) == 5


def test_only_an_archive_that_exists_is_used(machine: Path) -> None:
    java = machine / "jdk" / "bin" / "java"
    assert archive_options(java, None) == ""
    archive = archive_path(java)
    archive.parent.mkdir(parents=True)
    archive.touch()
    assert archive_options(java, None).endswith(f'-XX:SharedArchiveFile="{archive}"')


def test_a_cache_that_cannot_be_written_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MUSICREC_CACHE", str(tmp_path / "file" / "cache"))
    assert prepare() is None
    assert capfd.readouterr() == ("", "")
