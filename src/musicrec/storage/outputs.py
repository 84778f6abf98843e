"""Outputs: written whole or not at all, and only where nothing of a user's is overwritten."""

from __future__ import annotations

import argparse
import errno
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml

from musicrec.errors import MusicRecError, UsageError
from musicrec.runtime import cleaned_up, put_aside, scratch_directory

CHECKSUMS = "_checksums.json"
MANIFEST = "manifest.json"  # of a bundle
GENERATOR = '<meta name="generator" content="musicrec">'  # in the head of a page
FORMATS = {
    *(".csv", ".gz", ".htm", ".html", ".ipynb", ".json", ".jsonl", ".md", ".npy", ".parquet"),
    *(".pdf", ".png", ".py", ".svg", ".tar", ".tgz", ".tsv", ".txt", ".xlsx", ".yaml", ".yml"),
    *(".zip", ".zst"),
}
Ours = Callable[[Path], bool]


def is_json_of_ours(path: Path) -> bool:
    """Whether a file is JSON in the very form in which `musicrec.storage.files` writes it."""
    try:
        text = path.read_text(encoding="utf-8")
        return text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"
    except ValueError:
        return False


def is_page(path: Path) -> bool:
    """Whether a file is an HTML page of `musicrec report`, `tune` or `original`."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return GENERATOR in text[:4096] or '<p class="eyebrow">musicrec ' in text  # of version 0.1


def is_folder_of_ours(folder: Path) -> bool:
    """Whether all files below a folder are a stage's or a bundle's.

    They are listed in the `_checksums.json` or `manifest.json` beside them, or are rows
    for plots.
    """
    for parent, folders, names in os.walk(folder):
        known = _listed(Path(parent))
        if any((Path(parent) / name).is_symlink() for name in folders):
            return False
        for name in set(names) - known:
            if not (name.endswith(".json") and is_json_of_ours(Path(parent) / name)):
                return False
    return True


def stage_arguments(
    about: str | None, *read: str, **write: Callable[[str], Path]
) -> argparse.Namespace:
    """Parse the command line of a stage, whose every option is a path.

    `about` is the stage's docstring, `read` are options of inputs, `write` those of outputs with
    their check: `output_file`, `output_folder` or another one.
    """
    parser = argparse.ArgumentParser(description=about)
    for name in read:
        parser.add_argument(f"--{name}", metavar="PATH", type=Path, required=True, help="to read")
    for name, check in write.items():
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, metavar="PATH", type=check, required=True, help="to write")
    return parser.parse_args()


def local_path(text: str | os.PathLike[str]) -> Path:
    """Check the name of an output: neither empty, nor a URI, nor an unexpanded `~`."""
    name = os.fspath(text)
    if not name.strip():
        raise UsageError("the name of the output is empty; is a variable not set?")
    if scheme := re.match(r"[A-Za-z][A-Za-z0-9+.-]+://?", name):
        raise UsageError(
            f"{name}: outputs are written to this machine; write a local one and copy it to "
            f"{scheme[0]} with its own tool"
        )
    if name.startswith("~"):
        raise UsageError(f"{name}: the shell did not expand ~; write it without quotes")
    return Path(name)


def output_file(
    text: str | os.PathLike[str], ending: str = ".json", ours: Ours = is_json_of_ours
) -> Path:
    """Check the path of a file that is to be written.

    Raises
    ------
    UsageError
        The name is empty, a URI, begins with an unexpanded `~` or ends as another format does; a
        folder, a device, or a file that is not `ours` stands there; the folder takes no files.
    """
    path = local_path(text)
    if path.suffix.lower() in FORMATS - {ending, ending.removesuffix("l")}:
        raise UsageError(f"{path}: the file is written as {ending}; end its name in {ending}")
    if path.is_dir():
        raise UsageError(f"{path}: is a folder, and a file is to be written; name a file in it")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path}: is no regular file; name another file")
    _require_replaceable(path, "file", ours)
    return path


def output_folder(text: str | os.PathLike[str], ours: Ours = is_folder_of_ours) -> Path:
    """Check the path of a folder that is to be written.

    Raises
    ------
    UsageError
        As of `output_file`; or it is the working folder or one above it, or a repository.
    """
    path = local_path(text)
    resolved = path.resolve()
    if Path.cwd().is_relative_to(resolved):
        raise UsageError(f"{path}: is the working folder or one above it; name a folder of its own")
    if any((resolved / name).exists() for name in (".git", ".dvc")):
        raise UsageError(f"{path}: is a repository; name a folder of its own")
    if path.suffix.lower() in FORMATS:
        raise UsageError(f"{path}: a folder is written, not a {path.suffix} file; rename it")
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path}: is a file, and a folder is to be written; name another")
    _require_replaceable(path, "folder", ours)
    return path


def is_stage_output(path: Path) -> bool:
    """Whether a path is an output of a stage of the DVC project that it lies in."""
    for folder in path.absolute().parents:
        if not (folder / "dvc.yaml").is_file():
            continue
        with suppress(OSError, yaml.YAMLError, AttributeError, KeyError, TypeError):
            stages = yaml.safe_load((folder / "dvc.yaml").read_bytes())["stages"]
            outs = [
                name
                for stage in stages.values()
                for out in stage.get("outs", [])
                for name in ([out] if isinstance(out, str) else out)
            ]
            return path.resolve() in [(folder / name).resolve() for name in outs]
    return False


@contextmanager
def atomic_path(destination: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the path of a temporary file that becomes `destination` if the block succeeds.

    The temporary lies in the destination's folder, so the rename cannot cross devices; when
    the block raises, or a signal ends the process, it is removed and `destination` stays as it was.
    What a killed process left is removed by the next that writes the same file. A link is replaced,
    and what it points to stays as it is.
    """
    target = Path(destination)
    with _beside(target) as new:
        yield new
        new.replace(target)


@contextmanager
def atomic_directory(
    destination: str | os.PathLike[str], ours: Ours = is_folder_of_ours
) -> Iterator[Path]:
    """Yield an empty temporary folder that replaces `destination` if the block succeeds.

    The old folder is renamed, the new one takes its place, then the old one is removed: whoever
    opens it sees the old or the new one, whole. The next writer puts the old one back where a
    process was killed between the two renames. A link is replaced, and what it points to stays.

    Raises
    ------
    UsageError
        See `output_folder`.
    """
    target = output_folder(destination, ours)
    with _beside(target) as new:
        new.mkdir()
        yield new
        old = put_aside(target, new.parent)

        def put_back() -> None:
            if os.path.lexists(old) and not os.path.lexists(target):
                old.rename(target)

        with cleaned_up(put_back):
            if os.path.lexists(target):
                target.rename(old)
            new.rename(target)


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Yield a path in a temporary folder beside a target, as which errors of the system name it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch_directory(f".{target.name}.", target.parent, restore=target) as folder:
        new = folder / target.name
        try:
            yield new
        except OSError as error:
            if error.filename2:  # of a copy: where it goes
                error.filename = error.filename2
            full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            if error.filename is None and error.errno in full:
                error.filename = str(target)
            elif isinstance(error.filename, str):
                error.filename = error.filename.replace(str(new), str(target))
            raise


def _require_replaceable(path: Path, kind: str, ours: Ours) -> None:
    if path.exists() and not ours(path):
        raise UsageError(
            f"{path}: this {kind} was not written by musicrec, or holds more than that; remove it "
            "or name another"
        )
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise MusicRecError(
            f"cannot write {path}: {folder} is no folder that this user may write to; change its "
            "rights or the output"
        )


def _listed(folder: Path) -> set[str]:
    """Names of the files in a folder that a stage or a bundle vouches for."""
    known: set[str] = set()
    for name, hashed in ((CHECKSUMS, "crc32"), (MANIFEST, "sha256")):
        with suppress(OSError, ValueError, AttributeError, TypeError):
            content = json.loads((folder / name).read_text(encoding="utf-8"))
            files = content["files"] if name == MANIFEST else content
            if all(hashed in entry for entry in files.values()):
                known |= {name, *files}
    return known
