"""Finding out who gives tokens for a server."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from pointsman.errors import UpstreamBroken, UpstreamUnreachable
from pointsman.mcp.protocol.oauth import (
    Issuer,
    Resource,
    check_issuer,
    check_resource,
    issuer_urls,
    origin_of,
    resource_urls,
)
from pointsman.upstream.web import Answer, Web
from pointsman.wire.oauth import Mistrusted

T = TypeVar("T")


class Place(msgspec.Struct, frozen=True):
    """Who gives tokens for a server."""

    issuer: Issuer
    resource: Resource | None = None
    """``None``: the server says nothing of itself, and is its own authorization server, as it once was."""


async def discover(web: Web, url: str, told: str | None) -> Place:
    """Ask the server at ``url``, which has ``told`` where its metadata is or not, and the issuer that it names.

    :raises UpstreamUnreachable: somebody does not answer
    :raises Mistrusted: the answers cannot be believed
    """
    resource = await _resource(web, url, told)
    if resource is None or not resource.authorization_servers:
        return Place(await _issuer(web, origin_of(url), url), resource)
    return Place(await _issuer(web, resource.authorization_servers[0], url), resource)


async def _resource(web: Web, url: str, told: str | None) -> Resource | None:
    for one in resource_urls(url, told):
        answer = await web.get(one)
        if answer.status == 200:
            found = _read(answer, Resource)
            if found is not None:
                check_resource(found, url)
                return found
        elif _is_away(answer):
            # Whether there is any metadata is not known: what was before there was such a thing is no answer to that.
            raise answer.refusal()
    return None


async def _issuer(web: Web, issuer: str, url: str) -> Issuer:
    for one in issuer_urls(issuer):
        answer = await web.get(one)
        if answer.status == 200:
            found = _read(answer, Issuer)
            if found is not None:
                is_root = found.issuer == issuer + "/" and issuer == origin_of(url)
                check_issuer(found, found.issuer if is_root else issuer, url)
                return found
        elif _is_away(answer):
            raise answer.refusal()
    raise Mistrusted(f"{issuer[:200]} says nothing of itself at {', '.join(issuer_urls(issuer))[:600]}")


def _read(answer: Answer, kind: type[T]) -> T | None:
    try:
        return answer.read(kind)
    except UpstreamBroken:
        return None


def _is_away(answer: Answer) -> bool:
    return isinstance(answer.refusal(), UpstreamUnreachable)
