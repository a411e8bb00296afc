"""Who somebody is by a token of an identity provider: a JWT, whose claims are told apart from what they let one do.

In this order: :func:`head_of` says which key has to have signed it, :func:`check_claims` whether it is meant for here
and for now, :func:`party_of` whom it names, and :func:`caller_of_token` what that one may do, by the rows of the same
users and teams that virtual keys belong to. No message repeats anything that a token says.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from pointsman.access.caller import Caller, Family, Role, caller_of
from pointsman.access.keys import Key, Name
from pointsman.access.settings import TokenSettings
from pointsman.errors import Forbidden, GatewayError, Unauthenticated

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)
"""Signatures of a public key's owner, and no others: not ``none``, and nothing with a secret."""
LEEWAY = 60.0
"""Seconds that two clocks may differ."""
MAX_TOKEN_BYTES = 16_384
MAX_TEAMS = 200
MAX_NUMBER = 2**63
LAST_MOMENT = 253_402_300_799.0
"""Of what a date can hold."""
CHALLENGE = (("www-authenticate", 'Bearer error="invalid_token"'),)
ROLES: Mapping[str, Role] = {"proxy_admin": "admin", "proxy_admin_viewer": "read_only"}
ADMIN_ROLES = frozenset({"admin", "read_only"})

Claims = Mapping[str, Any]


class Head(msgspec.Struct, frozen=True):
    """What a token says of its signature."""

    alg: str
    kid: str | None = None


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a token names."""

    account: str
    """What its spend is booked under: one for each that a provider tells from others."""
    expires: float
    """In seconds since the epoch, the leeway included."""
    role: Role | None = None
    """``None``: that of the rows it belongs to."""
    is_vouched: bool = False
    """Whether its roles let it in, so that nobody has to have written it down here."""
    user_id: str | None = None
    email: str | None = None
    team_id: str | None = None
    team_ids: tuple[str, ...] = ()
    """Where no ``team_id`` is named."""
    organization_id: str | None = None
    models: tuple[str, ...] = ()
    """None: all that its team or user may use."""

    def key(self, team_id: str | None) -> Key:
        """As if it had come with a key of that team."""
        return Key(
            account=self.account,
            expires=datetime.fromtimestamp(self.expires, UTC),
            user_id=self.user_id,
            team_id=team_id,
            organization_id=self.organization_id,
            models=self.models,
        )


def refused(why: str) -> Unauthenticated:
    """The failure of a token; ``why`` goes on after "The token"."""
    return Unauthenticated(f"The token {why}", code="invalid_token", headers=CHALLENGE)


def is_token(shown: bytes) -> bool:
    """Whether it looks like a signed JWT, which no key of this gateway does."""
    return shown[:3] == b"eyJ" and shown.count(b".") == 2


def head_of(token: bytes) -> Head:
    """:raises Unauthenticated: it is none, or signed in a way that is not accepted"""
    if len(token) > MAX_TOKEN_BYTES:
        raise refused("is too long")
    text = token.partition(b".")[0]
    try:
        head = msgspec.json.decode(base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4)), type=Head)
    except (msgspec.MsgspecError, binascii.Error, ValueError, RecursionError):
        raise refused("is malformed") from None
    if head.alg not in ALGORITHMS:
        raise refused("is signed with an algorithm that is not accepted here")
    return head


def check_claims(claims: Claims, settings: TokenSettings, now: float, issuer: str | None = None) -> None:
    """Whether the token is meant for here and for now; ``issuer`` is whose keys have been used, where that is known.

    :raises Unauthenticated: it is not
    """
    if _moment(claims, "exp") + LEEWAY <= now:
        raise refused("has expired")
    if claims.get("nbf") is not None and _moment(claims, "nbf") - LEEWAY > now:
        raise refused("is not valid yet")
    issuers = settings.issuers or (() if issuer is None else (issuer,))
    if issuers and claims.get("iss") not in issuers:
        raise refused("comes from another issuer than those that are trusted here")
    if settings.audiences:
        given = claims.get("aud")
        meant = given if isinstance(given, list) else [given]
        if not any(one in settings.audiences for one in meant):
            raise refused("is meant for another audience")


def _moment(claims: Claims, name: str) -> float:
    value = claims.get(name)
    if value is None:
        raise refused(f"has no {name!r}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < MAX_NUMBER:
        raise refused(f"has an {name!r} that is no time")
    return float(value)


# -- whom it names ----------------------------------------------------------------------------------------------------


def party_of(claims: Claims, settings: TokenSettings) -> Party:
    """Whom the claims of a token that was checked name.

    :raises Unauthenticated: a claim is not of its kind
    :raises Forbidden: the settings do not let in such a one
    """
    scopes = _words(claims, "scope") or _words(claims, "scp")
    mapped = {settings.roles[one] for one in _words(claims, settings.roles_claim) if one in settings.roles}
    role: Role | None = "admin" if settings.admin_scope in scopes else _highest(mapped)
    email = _name(claims, settings.email_claim)
    is_vouched = bool(mapped)
    if role is None:
        _check_email(claims, email, settings)
        is_vouched |= _has_role(claims, settings, is_mapped=bool(mapped))
    user_id = _name(claims, settings.user_claim)
    # Admins work for nobody in particular.
    team_id, team_ids = (None, ()) if role is not None else _teams(claims, settings)
    return Party(
        account=_account(claims, user_id, team_id),
        expires=min(_moment(claims, "exp") + LEEWAY, LAST_MOMENT),
        role=role,
        is_vouched=is_vouched,
        user_id=user_id,
        email=email,
        team_id=team_id,
        team_ids=team_ids,
        organization_id=_name(claims, settings.organization_claim) if role is None else None,
        models=_models(scopes, settings) if role is None and settings.needs_scope else (),
    )


def _teams(claims: Claims, settings: TokenSettings) -> tuple[str | None, tuple[str, ...]]:
    team_id = _name(claims, settings.team_claim)
    if team_id is not None:
        return team_id, ()
    several = tuple(_names(claims, settings.teams_claim))
    return None if several else settings.default_team, several


def _highest(mapped: set[str]) -> Role | None:
    return next((role for name, role in ROLES.items() if name in mapped), None)


def _check_email(claims: Claims, email: str | None, settings: TokenSettings) -> None:
    if settings.email_domain is None:
        return
    _, at, domain = (email or "").partition("@")
    verified = claims.get("email_verified", True)
    # Some providers write it as a text.
    is_verified = verified is True or verified == "true"
    if not (at and domain.lower() == settings.email_domain.lower() and is_verified):
        raise Forbidden("This token's email address is not of the domain that is let in")


def _has_role(claims: Claims, settings: TokenSettings, *, is_mapped: bool) -> bool:
    """Whether a role lets it in, without which it may still belong to somebody who is known."""
    if settings.needs_role and not is_mapped:
        raise Forbidden("This token has none of the roles that are let in")
    if not settings.user_roles:
        return False
    if not set(settings.user_roles).intersection(_words(claims, settings.user_roles_claim)):
        raise Forbidden("This token has none of the roles that are let in")
    return True


def _models(scopes: tuple[str, ...], settings: TokenSettings) -> tuple[str, ...]:
    models = tuple(dict.fromkeys(model for one in scopes for model in settings.scopes.get(one, ())))
    if not models:
        raise Forbidden("This token has none of the scopes that let it use a model")
    return models


def _account(claims: Claims, user_id: str | None, team_id: str | None) -> str:
    """Readable, and not to be had by any other subject, user or team."""
    subject = _name(claims, "sub")
    shown = user_id or subject or team_id
    whole = [said if isinstance(said := claims.get(name), str) else None for name in ("iss", "azp", "client_id")]
    if shown is None and not any(whole[1:]):
        raise refused("names nobody")
    digest = hashlib.sha256(msgspec.json.encode([*whole, subject, user_id, team_id])).hexdigest()[:32]
    return f"jwt:{(shown or 'client')[:64]}:{digest}"


def _claim(claims: Claims, field: str | None) -> Any:
    """The member of that name, or at the end of that way; ``None``: there is none."""
    if field is None:
        return None
    if field in claims:
        return claims[field]
    found: Any = claims
    for part in field.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _name(claims: Claims, field: str | None) -> str | None:
    value = _claim(claims, field)
    if value is None or value == "":
        return None
    is_number = isinstance(value, int) and not isinstance(value, bool) and abs(value) < MAX_NUMBER
    return _checked(str(value) if is_number else value, field)


def _names(claims: Claims, field: str | None) -> list[str]:
    value = _claim(claims, field)
    if value is None:
        return []
    given = value if isinstance(value, list) else [value]
    if len(given) > MAX_TEAMS:
        raise refused(f"has more than {MAX_TEAMS} entries in {field!r}")
    return [_checked(one, field) for one in given]


def _checked(value: Any, field: str | None) -> str:
    try:
        return msgspec.convert(value, Name)
    except msgspec.ValidationError:
        raise refused(f"has a {field!r} that is no name") from None


def _words(claims: Claims, field: str | None) -> tuple[str, ...]:
    """A list of texts, or a text of several with spaces between."""
    value = _claim(claims, field)
    if isinstance(value, str):
        return tuple(value.split())
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


# -- what it may do ---------------------------------------------------------------------------------------------------


def caller_of_token(party: Party, settings: TokenSettings, family: Family, now: float) -> Caller:
    """Who calls, within the limits of the user, team and organization that the token names.

    :raises Forbidden: somebody has blocked one of these, or it is not there
    """
    try:
        caller = caller_of(family, now)
    except GatewayError as error:
        raise Forbidden(error.message.replace("API key", "token")) from None
    assert caller.key is not None
    role = party.role or caller.role
    routes = settings.admin_routes if role in ADMIN_ROLES else settings.routes
    return msgspec.structs.replace(
        caller,
        role=role,
        key=msgspec.structs.replace(caller.key, allowed_routes=routes),
        expires=min(party.expires, now + settings.key_seconds),
    )
