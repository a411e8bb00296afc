"""Credentials of providers at rest: AES-256-GCM, by a library that only those need who store any."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Any, Final

from pointsman.wire.secret import Secret

HINT: Final = "install the extra: pip install 'pointsman[signing]'"
NONCE_BYTES: Final = 12
NAME_BYTES: Final = 4
FORM: Final = "v1."


class CannotUnseal(ValueError):
    """The credential was sealed with another key or in another place, or is damaged; or the library is missing."""


class Sealer:
    """Seals with ``key``, and unseals what was sealed with it or with one of ``before``."""

    def __init__(self, key: Secret, *, before: tuple[Secret, ...] = ()) -> None:
        self._keys = [_derived(one) for one in (key, *before)]

    def seal(self, text: str, context: str) -> str:
        """``text`` for the database; ``context``, such as the row's id, must be the same to unseal it.

        :raises CannotUnseal: the library is missing
        """
        key = self._keys[0]
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = _cipher(key).encrypt(nonce, text.encode(), context.encode())
        return FORM + base64.urlsafe_b64encode(_name(key) + nonce + sealed).decode()

    def unseal(self, sealed: str, context: str) -> Secret:
        """:raises CannotUnseal: see there"""
        try:
            data = base64.urlsafe_b64decode(sealed.removeprefix(FORM))
        except ValueError:
            data = b""
        name, nonce, rest = data[:NAME_BYTES], data[NAME_BYTES:][:NONCE_BYTES], data[NAME_BYTES + NONCE_BYTES :]
        for key in self._keys:
            if _name(key) == name and sealed.startswith(FORM):
                return _opened(key, nonce, rest, context)
        raise CannotUnseal("the credential was sealed with another key; give the salt key that it was sealed with")


def _opened(key: bytes, nonce: bytes, rest: bytes, context: str) -> Secret:
    cipher = _cipher(key)
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415

    try:
        return Secret(cipher.decrypt(nonce, rest, context.encode()).decode())
    except (InvalidTag, ValueError):
        # Without its cause, which knows the key.
        raise CannotUnseal("the credential is damaged, or belongs to another row") from None


def _cipher(key: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
    except ImportError as error:
        raise CannotUnseal(f"stored credentials need a library; {HINT}") from error
    return AESGCM(key)


def _derived(key: Secret) -> bytes:
    """256 bits of their own, for the same secret serves other purposes too."""
    return hashlib.sha256(b"pointsman credentials at rest\0" + key.reveal().encode()).digest()


def _name(key: bytes) -> bytes:
    """By which a key is told from another, and nothing is learned of it."""
    return hashlib.sha256(b"name\0" + key).digest()[:NAME_BYTES]
