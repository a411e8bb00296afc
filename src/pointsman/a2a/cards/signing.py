"""Signatures of cards: RFC 7515 over the canonical form of a card, by a library that only those need who use them.

Signers differ in what they take for the canonical form, so there are several texts that may have been signed. Each is
told with what of the card it covers: what is believed because of a signature has to be in it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from pointsman.a2a.cards import shapes
from pointsman.a2a.cards.jcs import canonical
from pointsman.wire.secret import Secret

HINT: Final = "install the extra: pip install 'pointsman[signing]'"
MAX_SIGNATURES: Final = 8
MIN_RSA_BITS: Final = 2048
_LEGACY: Final = {"protocolVersion": "0.3.0", "preferredTransport": "JSONRPC"}
"""What the SDK of version 0.3 takes for granted, and leaves out."""
_FITTING: Final = {
    "ES256": ("EC", "P-256"),
    "RS256": ("RSA", None),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
}


class CannotSign(ValueError):
    """The library is missing, or the key is none that can be used."""


class Signature(msgspec.Struct, frozen=True):
    """One of a card's, not believed yet."""

    alg: str
    kid: str | None
    jku: str | None
    protected: str
    value: bytes

    def fits(self, key: Mapping[str, Any]) -> bool:
        """Whether the owner of a JSON Web Key may have made it."""
        kind = (key.get("kty"), None if key.get("kty") == "RSA" else key.get("crv"))
        is_for_this = key.get("use", "sig") == "sig" and key.get("alg", self.alg) == self.alg
        return is_for_this and _FITTING.get(self.alg) == kind and key.get("kid", self.kid) == self.kid


class _Head(msgspec.Struct):
    alg: str
    kid: str | None = None
    jku: str | None = None
    crit: tuple[str, ...] = ()


def signatures_of(card: Mapping[str, Any]) -> list[Signature]:
    """Those that can be read; members of the head that have to be understood are none that anybody here does."""
    told = card.get("signatures")
    found = []
    for one in told[:MAX_SIGNATURES] if isinstance(told, list) else ():
        try:
            head = msgspec.json.decode(_decoded(one["protected"]), type=_Head)
            value = _decoded(one["signature"])
        except (msgspec.MsgspecError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue
        if not head.crit:
            found.append(Signature(head.alg, head.kid, head.jku, one["protected"], value))
    return found


class Covers:
    """What signatures of a card cover. The texts are made once, for they take a while."""

    def __init__(self, card: Mapping[str, Any]) -> None:
        self._texts = [(f".{_encoded(text)}".encode(), part) for text, part in _texts(card)]

    def by(self, signature: Signature, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """What of the card the owner of ``key`` has signed; ``None``: nothing.

        :raises CannotSign: the library is missing
        """
        for text, part in self._texts:
            if _is_valid(signature, key, signature.protected.encode() + text):
                return part
        return None


class Signer:
    """Signs cards. ``pem`` is a private key of the curve P-256."""

    def __init__(self, pem: Secret) -> None:
        """:raises CannotSign: see there"""
        try:
            from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415  most gateways need none of it
            from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
            from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415
        except ImportError as error:
            raise CannotSign(f"signing cards needs a library; {HINT}") from error
        try:
            key = load_pem_private_key(pem.reveal().encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # Without its cause, which can quote the key.
            raise CannotSign("the key that cards are signed with cannot be read") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise CannotSign("the key that cards are signed with is none of the curve P-256")
        self._key = key
        numbers = key.public_key().public_numbers()
        point = {name: _encoded(at.to_bytes(32, "big")) for name, at in (("x", numbers.x), ("y", numbers.y))}
        # Its thumbprint by RFC 7638.
        self.kid = _encoded(hashlib.sha256(canonical({"crv": "P-256", "kty": "EC", **point})).digest())
        self.jwk = {"kty": "EC", "crv": "P-256", **point, "kid": self.kid, "use": "sig", "alg": "ES256"}

    def sign(self, card: Mapping[str, Any], jku: str) -> list[dict[str, str]]:
        """The signatures of a card in any form; ``jku`` is where the key is found.

        They are two where the official SDK takes another text for the canonical form than the specification does.
        """
        head = {"alg": "ES256", "typ": "JOSE", "kid": self.kid, "jku": jku}
        protected = _encoded(canonical(head))
        texts = dict.fromkeys(_texts_of_now(card) if "supportedInterfaces" in card else _texts_of_before(card))
        return [{"protected": protected, "signature": self._sign(protected, text)} for text in texts]

    def _sign(self, protected: str, text: bytes) -> str:
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ec, utils  # noqa: PLC0415

        data = f"{protected}.{_encoded(text)}".encode()
        try:
            # The same on all workers, so that their cards are the same bytes; not every OpenSSL can do it.
            signed = self._key.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        except UnsupportedAlgorithm:
            signed = self._key.sign(data, ec.ECDSA(hashes.SHA256()))
        r, s = utils.decode_dss_signature(signed)
        return _encoded(r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def _texts(card: Mapping[str, Any]) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """What may have been signed, and what of the card it covers."""
    whole = {name: value for name, value in card.items() if name != "signatures"}
    is_of_now = "supportedInterfaces" in card
    try:
        for text in _texts_of_now(whole) if is_of_now else _texts_of_before(whole):
            yield text, shapes.known(whole) if is_of_now else whole
        if is_of_now:
            yield canonical(whole), whole
    except (ValueError, RecursionError):
        return


def _texts_of_now(card: Mapping[str, Any]) -> Iterator[bytes]:
    yield canonical(shapes.bare(card))
    yield canonical(_cleaned(shapes.known(card)) or {})


def _texts_of_before(card: Mapping[str, Any]) -> Iterator[bytes]:
    """The specification of version 0.3 says nothing of what may be left out; its SDK leaves out what has a default."""
    told = {name: value for name, value in card.items() if _LEGACY.get(name) != value}
    schemes = told.get("securitySchemes")
    if isinstance(schemes, dict):
        told["securitySchemes"] = {
            name: {each: value for each, value in one.items() if each != "type"} if isinstance(one, dict) else one
            for name, one in schemes.items()
        }
    left = _cleaned(told) or {}
    yield canonical(left)
    yield json.dumps(left, sort_keys=True, separators=(",", ":")).encode()
    yield canonical(card)


def _cleaned(value: Any) -> Any:
    """As the official SDK does it: nothing that is empty is left, be it required or not."""
    if isinstance(value, dict):
        return {name: left for name, one in value.items() if (left := _cleaned(one)) is not None} or None
    if isinstance(value, list):
        return [left for one in value if (left := _cleaned(one)) is not None] or None
    return None if value == "" else value


def _is_valid(signature: Signature, key: Mapping[str, Any], signed: bytes) -> bool:
    try:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm  # noqa: PLC0415
    except ImportError as error:
        raise CannotSign(f"signatures of cards need a library; {HINT}") from error
    check = {"EC": _check_ec, "RSA": _check_rsa, "OKP": _check_ed25519}[str(key.get("kty"))]
    try:
        check(key, signature.value, signed)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError, KeyError, AttributeError):
        return False
    return True


def _check_ec(key: Mapping[str, Any], value: bytes, signed: bytes) -> None:
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec, utils  # noqa: PLC0415

    if len(value) != 64:
        raise ValueError("a signature of this kind has 64 bytes")
    public = ec.EllipticCurvePublicNumbers(_int(key["x"]), _int(key["y"]), ec.SECP256R1()).public_key()
    r, s = int.from_bytes(value[:32], "big"), int.from_bytes(value[32:], "big")
    public.verify(utils.encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))


def _check_rsa(key: Mapping[str, Any], value: bytes, signed: bytes) -> None:
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import padding, rsa  # noqa: PLC0415

    public = rsa.RSAPublicNumbers(_int(key["e"]), _int(key["n"])).public_key()
    if public.key_size < MIN_RSA_BITS:
        raise ValueError("the key is too short")
    public.verify(value, signed, padding.PKCS1v15(), hashes.SHA256())


def _check_ed25519(key: Mapping[str, Any], value: bytes, signed: bytes) -> None:
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415

    ed25519.Ed25519PublicKey.from_public_bytes(_decoded(key["x"])).verify(value, signed)


def _int(text: str) -> int:
    return int.from_bytes(_decoded(text), "big")


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
