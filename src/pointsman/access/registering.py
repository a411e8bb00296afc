"""What the bodies of servers and agents have in common, that clients of their registries write.

What is secret goes in and never comes out; it stays with the address that it was given for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Protocol, TypeVar

import msgspec

from pointsman.access.places import OURS, wrong_header, wrong_url
from pointsman.errors import InvalidRequest
from pointsman.wire.secret import Secret

REFERENCE: Final = "os.environ/"
MAX_DOLLARS: Final = Decimal(10**6)
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Names = Annotated[tuple[Name, ...], msgspec.Meta(max_length=1000)]
Text = Annotated[str, msgspec.Meta(max_length=4000)]
Value = Annotated[str, msgspec.Meta(min_length=1, max_length=16_384)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
ResultBytes = Annotated[int, msgspec.Meta(ge=1024, le=1 << 30)]
Headers = Annotated[dict[str, str], msgspec.Meta(max_length=100)]
T = TypeVar("T", bound=msgspec.Struct)


class Guard(Protocol):
    """Tells addresses that may be called from others."""

    def check(self, url: str) -> None:
        """:raises ValueError: it may not be"""


class Auth(Protocol):
    """How the gateway shows who it is, as settings have it."""

    @property
    def kind(self) -> str: ...
    @property
    def header(self) -> str: ...


class AuthBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``auth``: what goes with an ``auth_type``."""

    header: Name | None = None
    value: Value | None = None
    """Of ``api_key``."""
    token: Value | None = None
    """Of ``bearer_token``."""
    client_id: Text | None = None
    client_secret: Value | None = None
    token_url: Text | None = None
    scopes: Names = ()


A = TypeVar("A", bound=Auth)
B = TypeVar("B", bound=AuthBody)


def read(body: bytes, kind: type[T], before: T | None = None) -> T:
    """A body; where it is a change, with the members of ``before`` that it does not name.

    :raises InvalidRequest: it is not what the path takes
    """
    try:
        given = msgspec.json.decode(body, type=dict[str, Any])
        # What is null says nothing.
        given = {name: value for name, value in given.items() if value is not None}
        known = {} if before is None else msgspec.to_builtins(before)
        return msgspec.convert(known | given, kind, strict=True)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"The body is not what this path takes: {error}") from None


def refuse(wrong: str | None, param: str) -> None:
    """:raises InvalidRequest: something is wrong with a member"""
    if wrong is not None:
        raise InvalidRequest(f"{param}: {wrong}", param=param)


def check_url(url: str, guard: Guard, param: str) -> None:
    """:raises InvalidRequest: it is no address, or one that may not be called"""
    refuse(wrong_url(url), param)
    try:
        guard.check(url)
    except ValueError as error:
        refuse(str(error), param)


def settle_headers(given: dict[str, str] | None, before: Mapping[str, str], forwarded: Iterable[str]) -> dict[str, str]:
    """The headers of each request: those that are given, or else those of before; names of others are passed on.

    :raises InvalidRequest: they cannot be set, or are not for others
    """
    static = dict(before) if given is None else given
    for name, value in static.items():
        refuse(wrong_header(name, value), "static_headers")
        check_reference(value, "static_headers")
    for name in forwarded:
        refuse(wrong_header(name), "extra_headers")
        # The key that the gateway is called with is not for others.
        is_ours = name.lower() in OURS
        refuse(f"{name} is not passed on" if is_ours else None, "extra_headers")
    return static


def check_reference(value: str, param: str) -> None:
    """:raises InvalidRequest: it names a variable of the gateway"""
    # It would give an admin every variable of the gateway, sent to a place of his choice.
    refuse(f"{REFERENCE} is for the config file" if value.startswith(REFERENCE) else None, param)


def check_cost(cost: Decimal, param: str, what: str) -> None:
    """:raises InvalidRequest: it is no price"""
    is_cost = cost.is_finite() and 0 <= cost <= MAX_DOLLARS
    refuse(None if is_cost else f"{what} costs from 0 to {MAX_DOLLARS:,} US dollars", param)


def settle_auth(kind: str, given: B | None, before: A | None, make: Callable[..., A], oauth: Callable[[B], A]) -> A:
    """The credentials of an ``auth_type``: those that are given, or else those of before, if they were of the same one.

    ``make`` makes settings of all members, ``oauth`` those of ``oauth2``.

    :raises InvalidRequest: they are missing, are there for nothing, cannot be sent, or name a variable of the gateway
    """
    if kind == "none":
        refuse(None if given is None else "set auth_type", "auth")
        return make()
    if given is None:
        if before is None or before.kind != kind:
            raise InvalidRequest(f"auth: give the credentials of auth_type {kind}", param="auth")
        return before
    for text in (given.value, given.token, given.client_secret):
        check_reference(text or "", "auth")
    if kind == "oauth2":
        return oauth(given)
    header, value = given.header or make().header, given.value if kind == "api_key" else given.token
    if value is None:
        raise InvalidRequest(f"auth: {'value' if kind == 'api_key' else 'token'} is missing", param="auth")
    refuse(wrong_header(header, value), "auth")
    return make(kind=kind, header=header, value=Secret(value))
