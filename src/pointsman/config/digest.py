"""Fingerprints of documents that hold no credential.

Whatever could be a credential is replaced by its SHA-256 before the whole is hashed, so that a changed key is
seen and the text that is hashed can be shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

import msgspec

from pointsman.config.check import is_secret_name
from pointsman.config.marks import Path

PLAIN = (str, int, float, bool, type(None))


def digested(value: Any, path: Path = (), secret_paths: Collection[Path] = (), *, is_secret: bool = False) -> Any:
    """A copy with digests for credentials: texts below secret names, and those at ``secret_paths``."""
    is_secret = is_secret or (bool(secret_paths) and path in secret_paths)
    if not secret_paths and not is_secret and isinstance(value, dict):
        # Most of what a document holds is neither secret nor deep, and is done with here.
        return {
            key: item
            if type(item) in PLAIN and not is_secret_name(key)
            else digested(item, path, is_secret=is_secret_name(key))
            for key, item in value.items()
        }
    if isinstance(value, dict):
        return {
            key: digested(item, (*path, key), secret_paths, is_secret=is_secret or is_secret_name(key))
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [digested(item, (*path, index), secret_paths, is_secret=is_secret) for index, item in enumerate(value)]
    if is_secret and isinstance(value, str):
        return "sha256:" + hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest()
    return value


def fingerprint(value: Any) -> str:
    """SHA-256, in hex, of a value's canonical JSON."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted", enc_hook=str)).hexdigest()
