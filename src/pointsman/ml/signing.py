"""Ed25519 signatures (RFC 8032), by a library that only those need who sign checkpoints or demand signed ones."""

from __future__ import annotations

HINT = "install the extra: pip install 'pointsman[signing]'"


class CannotSign(ValueError):
    """A signature cannot be made or checked."""


def sign(private_key_pem: bytes, message: bytes) -> tuple[str, str]:
    """The public key and the signature, both in hexadecimal.

    :raises CannotSign: the library is not installed, or the key is not an Ed25519 key in PEM without a password
    """
    try:
        # Only here, so that no other process pays for loading it.
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415
    except ImportError as error:
        raise CannotSign(f"signing needs a library; {HINT}") from error
    try:
        key = load_pem_private_key(private_key_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Without its cause, which can quote the key.
        raise CannotSign("the private key cannot be read; it is PEM without a password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise CannotSign("the private key is not an Ed25519 key; make one with: openssl genpkey -algorithm ed25519")
    return key.public_key().public_bytes_raw().hex(), key.sign(message).hex()


def is_signed(public_key: str, signature: str, message: bytes) -> bool:
    """Whether the signature is one of this key over this message; both in hexadecimal.

    :raises CannotSign: the library is not installed
    """
    try:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    except ImportError as error:
        raise CannotSign(f"checking a signature needs a library; {HINT}") from error
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(bytes.fromhex(signature), message)
    except (ValueError, InvalidSignature):
        return False
    return True
