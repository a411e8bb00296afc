"""The secret under which the digests of keys are made: from the environment, or a file beside the database."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

VARIABLES: Final = ("POINTSMAN_SALT_KEY", "LITELLM_SALT_KEY")
FILE: Final = "salt-key"
FEWEST: Final = 16
"""Characters of one that somebody has made up."""


class NoPepper(ValueError):
    """There is none, and none can be made; the text says what to do."""


def pepper(environ: Mapping[str, str], directory: Path | None) -> bytes:
    """What the environment says, else what the file in ``directory`` holds, which is made if there is none.

    ``directory`` is ``None`` where several gateways share a database: each one's file would be another one.

    :raises NoPepper: see there
    """
    for name in VARIABLES:
        given = environ.get(name)
        if given:
            if len(given) < FEWEST:
                raise NoPepper(f"{name} is too short: give it {FEWEST} random characters or more")
            return given.encode()
    if directory is None:
        raise NoPepper(f"set {VARIABLES[0]} to the same random text for all gateways that share the database")
    path = directory / FILE
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _make(path)
        found = path.read_bytes().strip()
    except OSError as error:
        raise NoPepper(f"cannot keep {path}: {error.strerror}; set {VARIABLES[0]}") from error
    if len(found) < FEWEST:
        raise NoPepper(f"{path} holds no salt key: without it the keys in the database cannot be used")
    return found


def _make(path: Path) -> None:
    """Write the file whole or not at all, and once, whoever else does so at the same time; mode 0600."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        if not path.exists():
            try:
                path.hardlink_to(draft)
            except FileExistsError:
                return
    finally:
        Path(draft).unlink()
