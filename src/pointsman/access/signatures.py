"""Signatures of tokens, and the public keys that prove them: RFC 7515 and 7517, by joserfc (the extra ``oidc``)."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pointsman.access.tokens import ALGORITHMS, MAX_TOKEN_BYTES, Head

if TYPE_CHECKING:
    from joserfc.jws import JWSRegistry

INSTALL: Final = "install the extra: pip install 'pointsman[oidc]'"
MAX_KEYS = 64
"""Of one document; others are passed over."""
MIN_RSA_BYTES = 256
_CHECKED = frozenset({"alg", "use", "key_ops"})
"""Members of a key that are looked at here, since joserfc takes each by one name only."""
_RSA = frozenset(one for one in ALGORITHMS if one.startswith(("RS", "PS")))
_CURVES = {
    "P-256": frozenset({"ES256"}),
    "P-384": frozenset({"ES384"}),
    "P-521": frozenset({"ES512"}),
    "Ed25519": frozenset({"EdDSA", "Ed25519"}),
}


class BadKeys(ValueError):
    """What should hold public keys holds none that can be used."""


class PublicKey(msgspec.Struct, frozen=True):
    """One that is believed."""

    kid: str | None
    algorithms: frozenset[str]
    key: Any

    def fits(self, head: Head) -> bool:
        """Whether a token with this head may have been signed by its owner."""
        return head.alg in self.algorithms and (head.kid is None or head.kid == self.kid)


class PublicKeys(msgspec.Struct, frozen=True):
    """Those of one issuer."""

    keys: tuple[PublicKey, ...]
    issuer: str | None = None
    """``None``: nobody has said whose they are."""

    def fitting(self, head: Head) -> Iterator[PublicKey]:
        """Those that may have signed a token with this head."""
        return (one for one in self.keys if one.fits(head))


def read_keys(document: Mapping[str, Any], issuer: str | None = None) -> PublicKeys:
    """The keys of a JWKS; those that are for something else, or too weak, are passed over.

    :raises BadKeys: there are none, or joserfc is not installed
    """
    try:
        from joserfc.errors import JoseError  # noqa: PLC0415  most gateways need none of it
        from joserfc.jwk import import_key  # noqa: PLC0415
    except ImportError:
        raise BadKeys(f"tokens need joserfc: {INSTALL}") from None
    given = document.get("keys")
    found = []
    for data in given[:MAX_KEYS] if isinstance(given, list) else ():
        algorithms = _algorithms(data)
        if algorithms:
            try:
                key = import_key({name: value for name, value in data.items() if name not in _CHECKED})
            except (JoseError, ValueError, TypeError, KeyError):
                continue
            kid = data.get("kid")
            found.append(PublicKey(kid if isinstance(kid, str) else None, algorithms, key))
    if not found:
        raise BadKeys("there is no public key in it that can be used")
    return PublicKeys(tuple(found), issuer)


def _algorithms(data: Any) -> frozenset[str]:
    """What a key can prove; nothing: it is not to be used."""
    if not isinstance(data, dict) or data.get("use", "sig") != "sig" or "d" in data or "k" in data:
        return frozenset()
    operations = data.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return frozenset()
    if data.get("kty") == "RSA":
        can = _RSA if _is_strong(data.get("n")) else frozenset()
    else:
        can = _CURVES.get(str(data.get("crv")), frozenset())
    stated = data.get("alg")
    # Ed25519 has two names.
    return can if stated is None or can == _CURVES["Ed25519"] else can & {str(stated)}


def _is_strong(modulus: Any) -> bool:
    try:
        number = base64.urlsafe_b64decode(modulus + "=" * (-len(modulus) % 4))
    except (TypeError, ValueError):
        return False
    return len(number.lstrip(b"\0")) >= MIN_RSA_BYTES


def claims_of(token: bytes, head: Head, key: PublicKey) -> dict[str, Any] | None:
    """What a token says, if the owner of ``key`` has signed it; else ``None``."""
    from joserfc.errors import JoseError  # noqa: PLC0415
    from joserfc.jws import deserialize_compact  # noqa: PLC0415

    try:
        signed = deserialize_compact(token, key.key, registry=_registry(head.alg))
        claims: dict[str, Any] = msgspec.json.decode(signed.payload, type=dict[str, Any])
    except (JoseError, msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return None
    return claims


@cache
def _registry(algorithm: str) -> JWSRegistry:
    """One that accepts this algorithm only, whatever joserfc thinks of its name."""
    from joserfc.errors import UnsupportedAlgorithmError  # noqa: PLC0415
    from joserfc.jws import JWSRegistry  # noqa: PLC0415

    class Registry(JWSRegistry):
        max_header_length = max_payload_length = MAX_TOKEN_BYTES

        def get_alg(self, name: str) -> Any:
            if name != algorithm or name not in ALGORITHMS:
                raise UnsupportedAlgorithmError
            return self.algorithms[name]

    return Registry(strict_check_header=False)
