"""What a caller says about the cache: LiteLLM's ``cache`` and ``caching`` members, and ``Cache-Control``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from pointsman.errors import InvalidRequest

Seconds = Annotated[float, msgspec.Meta(ge=0)]


class CacheControl(msgspec.Struct, frozen=True, kw_only=True):
    """How one request uses the cache; the defaults are those of a request that says nothing. Times in seconds."""

    is_asked_for: bool = False
    """Whether the request asks for the cache, which matters where it is opt-in."""
    can_read: bool = True
    can_write: bool = True
    ttl: float | None = None
    """How long the answer may be kept; ``None``: as the operator says."""
    max_age: float | None = None
    """Older answers are not accepted."""
    namespace: str = ""


class _Members(msgspec.Struct):
    no_cache: bool | None = msgspec.field(name="no-cache", default=None)
    no_store: bool | None = msgspec.field(name="no-store", default=None)
    use_cache: bool | None = msgspec.field(name="use-cache", default=None)
    ttl: Seconds | None = None
    s_maxage: Seconds | None = msgspec.field(name="s-maxage", default=None)
    namespace: str | None = None


_UNSAID: Final = CacheControl()


def cache_control(members: Mapping[str, Any] | None, caching: bool | None, header: bytes | None) -> CacheControl:
    """Read the body's ``cache`` and ``caching`` and the value of ``Cache-Control``; the body goes first.

    Directives of the header that are not about this cache, or malformed, are ignored, as HTTP has it.

    :raises InvalidRequest: a member of ``cache`` has the wrong type
    """
    if members is None and caching is None and header is None:
        return _UNSAID
    try:
        said = msgspec.convert(members or {}, _Members)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"Invalid 'cache': {str(error).replace('`', '')}", param="cache") from None
    directives = _directives(header or b"")
    is_off = caching is False
    is_unread = "no-cache" in directives if said.no_cache is None else said.no_cache
    is_unwritten = "no-store" in directives if said.no_store is None else said.no_store
    return CacheControl(
        is_asked_for=said.use_cache is True or caching is True,
        can_read=not (is_off or is_unread),
        can_write=not (is_off or is_unwritten),
        ttl=said.ttl,
        max_age=_max_age(directives) if said.s_maxage is None else said.s_maxage,
        namespace=said.namespace or "",
    )


def _directives(header: bytes) -> dict[str, str]:
    pairs = (part.partition("=") for part in header.decode("latin-1").lower().split(","))
    return {name.strip(): value.strip(' "') for name, _, value in pairs}


def _max_age(directives: Mapping[str, str]) -> float | None:
    """Of a cache that many share, ``s-maxage`` goes before ``max-age``."""
    for name in ("s-maxage", "max-age"):
        value = directives.get(name, "")
        if value.isascii() and value.isdigit():
            return float(value)
    return None
