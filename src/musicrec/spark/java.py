"""Find the Java that Spark runs on. Needs the standard library alone: the set-up runs it first."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from musicrec.errors import MusicRecError

MIN_JAVA = 17


def find_java() -> Path:
    """Find a `java` of at least version 17: that of JAVA_HOME first, then the one on PATH.

    Raises
    ------
    MusicRecError
        There is none; the sentence says what was found and what to install.
    """
    on_path = shutil.which("java")
    found = []
    for java in (java_of_home(), Path(on_path) if on_path else None):
        version = java_version(java) if java else None
        if java and version is not None and version >= MIN_JAVA:
            return java
        if java:
            found.append(f"{java} is " + (f"version {version}" if version else "no working Java"))
    what = "; ".join(found) if found else "none was found in JAVA_HOME or on PATH"
    raise MusicRecError(
        f"Spark needs Java {MIN_JAVA} or newer, but {what}; install one (Debian, Ubuntu: "
        "apt install openjdk-17-jre-headless; macOS: brew install openjdk@17) or set JAVA_HOME"
    )


def java_of_home() -> Path | None:
    """The `java` below JAVA_HOME, where that is set."""
    home = os.environ.get("JAVA_HOME")
    return Path(home) / "bin" / "java" if home else None


def java_version(java: Path) -> int | None:
    """Major version of a Java: from its `release` file, or else what it says; None without any."""
    release = java.resolve().parent.parent / "release"
    if release.is_file() and os.access(java, os.X_OK):
        match = re.search(
            r'^JAVA_VERSION="(?:1\.)?(\d+)', release.read_text(errors="replace"), re.M
        )
        if match:
            return int(match[1])
    try:
        run = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', run.stderr + run.stdout)
    return int(match[1]) if match else None


if __name__ == "__main__":
    try:
        print(find_java())
    except MusicRecError as error:
        sys.exit(f"error: {error}")
