"""Checkpoints on disk: a directory with two files. The only module of ``ml`` that touches one."""

from __future__ import annotations

import mmap
import shutil
from collections.abc import Collection
from pathlib import Path

from pointsman.ml.checkpoint import (
    MAX_MANIFEST_BYTES,
    RETRAIN,
    BadCheckpoint,
    Checkpoint,
    Packed,
    read_manifest,
    unpack,
)

MANIFEST = "manifest.json"
TENSORS = "tensors.safetensors"


def read(directory: Path, *, trusted_keys: Collection[str] = (), is_mapped: bool = False) -> Checkpoint:
    """A checkpoint that was checked whole.

    It is a copy in memory, which nothing on disk can change afterwards. ``is_mapped`` maps the arrays instead, so that
    processes share them; that is for directories in which no file is ever overwritten in place: what is written there
    would be routed by unchecked, and what is cut off there ends the process.

    :raises BadCheckpoint: also where a file is missing, is not a file, lies outside of the directory, or is too large
    """
    try:
        head = _bytes(directory, MANIFEST, MAX_MANIFEST_BYTES)
        size = read_manifest(head, trusted_keys=trusted_keys).tensors_bytes
        body = _mapped(directory, TENSORS, size) if is_mapped else _bytes(directory, TENSORS, size)
        return unpack(head, body, trusted_keys=trusted_keys)
    except BadCheckpoint as error:
        raise error.at(str(directory)) from error
    except MemoryError as error:
        raise BadCheckpoint("there is not enough memory for it", "give the process more", str(directory)) from error


def contents(path: Path, limit: int) -> bytes:
    """A file that is no part of a checkpoint: a copy in memory, which nothing on disk can change afterwards.

    :raises OSError: it cannot be read
    :raises ValueError: it is empty, or has more than ``limit`` bytes, or than there is memory for
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        if size > limit:
            raise ValueError(f"it has more than {limit} bytes")
        try:
            found = file.read(size + 1)
        except MemoryError as error:
            raise ValueError(f"there is not enough memory for its {size} bytes") from error
    if not 0 < len(found) <= limit:
        raise ValueError("it is empty" if not found else f"it has more than {limit} bytes")
    return found


def write(directory: Path, packed: Packed) -> None:
    """Put a checkpoint there, whole or not at all; one that is there is replaced.

    Whoever reads meanwhile finds the old one, the new one, or for a moment none.

    :raises OSError: it could not be written; then the old one is still there
    :raises BadCheckpoint: there is something else in its place
    """
    directory = directory.absolute()
    expect_ours(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    new, old = (directory.with_name(f".{directory.name}.{suffix}") for suffix in ("new", "old"))
    if old.exists() and not directory.exists():  # whoever wrote last was stopped between the two renames
        old.rename(directory)
    for leftover in (new, old):
        if leftover.exists():
            shutil.rmtree(leftover)
    new.mkdir()
    try:
        (new / TENSORS).write_bytes(packed.tensors)
        (new / MANIFEST).write_bytes(packed.manifest)
        if directory.exists():
            directory.rename(old)
        try:
            new.rename(directory)
        except OSError:
            if old.exists():
                old.rename(directory)
            raise
    finally:
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)


def expect_ours(directory: Path) -> None:
    """Replacing a directory deletes what is in it, so it has to be a checkpoint and nothing else, or absent.

    :raises BadCheckpoint: it is not
    """
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        raise BadCheckpoint("it is not a directory", "name another one", str(directory))
    if directory.exists() and (more := {path.name for path in directory.iterdir()} - {MANIFEST, TENSORS}):
        raise BadCheckpoint(
            f"it holds {min(more)}, which is not part of a checkpoint", "name a directory of its own", str(directory)
        )


def _path(directory: Path, name: str, limit: int) -> Path:
    """Where a file of the directory really is. Links inside of it are followed, as mounted volumes have them."""
    try:
        path = (directory / name).resolve(strict=True)
        if not path.is_relative_to(directory.resolve(strict=True)):
            raise BadCheckpoint(f"{name} lies outside of the directory", "put the file itself there")
        if not path.is_file():
            raise BadCheckpoint(f"{name} is not a file", RETRAIN)
        if path.stat().st_size > limit:
            raise BadCheckpoint(f"{name} has more bytes than it may have, {limit}", "copy both files again")
    except (OSError, RuntimeError) as error:
        raise _unreadable(name, error) from error
    return path


def _bytes(directory: Path, name: str, limit: int) -> bytes:
    path = _path(directory, name, limit)
    try:
        with path.open("rb") as file:
            return file.read(min(limit, path.stat().st_size) + 1)
    except OSError as error:
        raise _unreadable(name, error) from error


def _mapped(directory: Path, name: str, limit: int) -> memoryview:
    path = _path(directory, name, limit)
    try:
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:  # an empty file cannot be mapped
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> BadCheckpoint:
    hint = (
        "check the path; a checkpoint is made by: pointsman train" if isinstance(error, FileNotFoundError) else RETRAIN
    )
    return BadCheckpoint(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}", hint)
