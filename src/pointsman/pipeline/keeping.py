"""Files of what was learnt, in a directory that several processes may use at the same time.

Each process has a number of its own there while it runs, the lowest that is free, and writes files of this number only.
It may read those of all: what others have learnt, or its forerunners.

Names are ``MODEL-VERSION-NUMBER.KIND``, with digests of models and versions, which are whatever they are.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path

from pointsman.ml import statefile

VERSIONS = 8
"""Of a routed model that are kept of each kind."""
MODELS = 100
"""Routed models whose files are kept, those that were written last; others were renamed or are no more."""
PROCESSES = 4096


class Store:
    """One directory, which is made when the first file is written."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._number: int | None = None

    def path(self, model: str, version: str, kind: str) -> Path:
        """The file of this process.

        :raises OSError: the directory cannot be used
        """
        if self._number is None:
            self._number = self._claim()
        return self.directory / f"{_digest(model)}-{_digest(version)}-{self._number}.{kind}"

    def read(self, model: str, version: str, kind: str) -> Iterable[bytes]:
        """What any process has written of it.

        :raises OSError: a file cannot be read
        """
        for path in sorted(self.directory.glob(f"{_digest(model)}-{_digest(version)}-*.{kind}")):
            with path.open("rb") as file:
                yield file.read(statefile.MAX_BYTES)

    def write(self, files: Mapping[Path, bytes]) -> None:
        """Put files there, each whole or not at all, and delete those of models and versions not written for longest.

        :raises OSError: one could not be written; then the old one is still there
        """
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                Path(draft).replace(path)
            except BaseException:
                Path(draft).unlink(missing_ok=True)
                raise
        for model, kind in {(path.name.split("-")[0], path.suffix) for path in files}:
            self._delete_old(f"{model}-*-*{kind}", 1, VERSIONS)
        if files:
            self._delete_old("*-*-*.*", 0, MODELS)

    def _delete_old(self, pattern: str, part: int, most: int) -> None:
        """Leave so many models or versions, the ones that were written last; ``part`` of a name tells them apart."""
        written: dict[str, int] = {}
        paths = list(self.directory.glob(pattern))
        for path in paths:
            name = path.name.split("-")[part]
            written[name] = max(written.get(name, 0), _written(path))
        kept = sorted(written, key=lambda name: -written[name])[:most]
        for path in paths:
            if path.name.split("-")[part] not in kept:
                path.unlink(missing_ok=True)

    def _claim(self) -> int:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for number in range(PROCESSES):
            descriptor = os.open(self.directory / f"{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            except OSError:
                os.close(descriptor)
                raise
            weakref.finalize(self, os.close, descriptor)
            return number
        raise OSError(f"more than {PROCESSES} processes use {self.directory}")


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # another process has deleted it
        return 0
