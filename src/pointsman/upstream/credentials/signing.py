"""RSA signatures, by a library that only those need who have a service account of Google's."""

from __future__ import annotations

from pointsman.upstream.credentials.base import refused


def sign_rs256(private_key: str, message: bytes) -> bytes:
    """The signature of RFC 7518, section 3.3, by a key in PEM.

    Blocks: about a millisecond, and much longer when the library is loaded by the first one.

    :raises UpstreamError: the library is not installed, or the key is none
    """
    try:
        # Only here, so that no other process pays for loading it.
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import padding, rsa  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415
    except ImportError as error:
        raise refused("a service account of Google's needs the extra: pip install 'pointsman[vertex]'") from error
    try:
        key = load_pem_private_key(private_key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Without its cause, which can quote the key.
        raise refused("the private key of a service account cannot be read") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise refused("the private key of a service account is not an RSA key")
    return key.sign(message, padding.PKCS1v15(), hashes.SHA256())
