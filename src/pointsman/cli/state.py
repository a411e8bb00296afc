"""What the gateway keeps between runs: the data directory and the admin key in it."""

from __future__ import annotations

import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
import msgspec

from pointsman.config.document import data_directory
from pointsman.wire.secret import Secret

__all__ = ["AdminKey", "admin_key", "data_directory", "used"]

KEY_FILE = "admin-key"
LOCK_FILE = "gateway.lock"


class AdminKey(msgspec.Struct, frozen=True, kw_only=True):
    """The master key that the gateway made for itself."""

    secret: Secret
    path: Path
    is_new: bool


@contextmanager
def used(directory: Path) -> Iterator[bool]:
    """Let other gateways see that this one uses a directory; whether no other one does, as far as one can tell."""
    try:
        file = (directory / LOCK_FILE).open("ab")
    except OSError:
        yield True
        return
    with file:
        # Those who use it share the lock: whoever can have it alone is alone.
        is_alone = True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            is_alone = False
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield is_alone


def admin_key(directory: Path) -> AdminKey:
    """Read the key, or make one: 256 random bits, readable by its owner only.

    :raises click.ClickException: the directory cannot be used, or the file holds no key
    """
    path = directory / KEY_FILE
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            made = "sk-" + secrets.token_urlsafe(32)
            if _write_once(path, made + "\n"):
                return AdminKey(secret=Secret(made), path=path, is_new=True)
        key = path.read_bytes().decode("ascii", "replace").strip()
    except OSError as error:
        raise click.ClickException(
            f"cannot keep the admin key in {directory}: {error.strerror}; "
            "set POINTSMAN_DATA_DIR to a directory that can be written, or set general_settings.master_key"
        ) from error
    if not key or not key.isprintable() or "\ufffd" in key:
        raise click.ClickException(f"{path} holds no key: delete it and start again")
    return AdminKey(secret=Secret(key), path=path, is_new=False)


def _write_once(path: Path, text: str) -> bool:
    """Make a file with mode 0600, whole or not at all; ``False`` when there is one.

    Two gateways may start at once, and a disk may be full: nobody shall find half a key.
    """
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        Path(path).hardlink_to(draft)
    except FileExistsError:
        return False
    finally:
        Path(draft).unlink()
    return True
