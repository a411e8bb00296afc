"""Who calls, by what stands in the headers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from pointsman.access.caller import CHALLENGE, Caller
from pointsman.edge.context import Serving
from pointsman.errors import Unauthenticated

if TYPE_CHECKING:
    from pointsman.pipeline.known_tokens import Tokens


def look(serving: Serving, headers: Mapping[bytes, bytes]) -> Caller | None:
    """Who calls, if that is known without asking the store.

    :raises Unauthenticated: there is no key
    """
    keys = serving.accounts.keys
    known: Callable[[bytes], Caller | None] = _unknown if keys is None else keys.known
    if serving.tokens is not None and keys is not None:
        known = serving.tokens.known_in(keys)
    return serving.gatekeeper.look(headers, known)


async def find(serving: Serving, headers: Mapping[bytes, bytes]) -> Caller:
    """Who calls, as the store of keys knows it.

    :raises Unauthenticated: nobody whom it knows
    :raises Forbidden: somebody who is blocked
    :raises Overloaded: it is away
    """
    shown = tuple(serving.gatekeeper.shown(headers))
    tokens = serving.tokens
    return await (_find_by_key(serving, shown) if tokens is None else find_by_token(serving, tokens, shown))


async def identify(serving: Serving, headers: Mapping[bytes, bytes]) -> Caller:
    """Who calls.

    :raises Unauthenticated: nobody who is known
    :raises Forbidden: somebody who is blocked
    :raises Overloaded: the store of keys is away
    """
    return look(serving, headers) or await find(serving, headers)


async def _find_by_key(serving: Serving, shown: Iterable[bytes]) -> Caller:
    keys = await serving.accounts.look()
    if keys is None:
        raise Unauthenticated(headers=CHALLENGE)
    return await keys.find(shown)


async def find_by_token(serving: Serving, tokens: Tokens, shown: tuple[bytes, ...]) -> Caller:
    """By a token or, where none is valid, by a key, which may be shown beside somebody else's token."""
    try:
        proven = await tokens.prove(shown)
    except Unauthenticated:
        with suppress(Unauthenticated):
            return await _find_by_key(serving, shown)
        raise
    if proven is None:
        return await _find_by_key(serving, shown)
    return await tokens.caller((await serving.accounts.opened()).keys, proven)


def _unknown(_key: bytes) -> None:
    return None
