from __future__ import annotations

from typing import Any

import pytest
from unit.mcp.auth.authorities import AWAY, ISSUER, METADATA, RESOURCE, URL, Net, metadata, resource

from pointsman.errors import UpstreamUnreachable
from pointsman.mcp.auth.discovery import discover
from pointsman.wire.oauth import Mistrusted

ROOT = "https://mcp.test/.well-known/oauth-protected-resource"


@pytest.fixture
def net() -> Net:
    return Net()


async def test_the_server_says_who_gives_tokens_and_that_one_says_how(net: Net) -> None:
    place = await discover(net, URL, None)
    assert place.issuer.token_endpoint == f"{ISSUER}/token"
    assert place.resource is not None
    assert net.asked == [RESOURCE, METADATA]


async def test_where_the_server_says_where_its_metadata_is_nobody_else_is_asked(net: Net) -> None:
    told = "https://mcp.test/elsewhere.json"
    net.pages[told] = resource(scopes_supported=["read"])
    assert (await discover(net, URL, told)).resource is not None
    assert net.asked[0] == told
    assert RESOURCE not in net.asked


async def test_metadata_at_the_root_or_of_openid_will_do(net: Net) -> None:
    issuer = f"{ISSUER}/tenant"
    net.pages = {
        ROOT: resource(authorization_servers=[issuer]),
        f"{issuer}/.well-known/openid-configuration": metadata(issuer),
    }
    assert (await discover(net, URL, None)).issuer.issuer == issuer
    assert net.asked == [
        RESOURCE,
        ROOT,
        f"{ISSUER}/.well-known/oauth-authorization-server/tenant",
        f"{ISSUER}/.well-known/openid-configuration/tenant",
        f"{issuer}/.well-known/openid-configuration",
    ]


async def test_a_server_that_says_nothing_is_its_own_authorization_server_as_it_once_was(net: Net) -> None:
    net.pages = {"https://mcp.test/.well-known/oauth-authorization-server": metadata("https://mcp.test/")}
    place = await discover(net, URL, None)
    assert (place.issuer.issuer, place.resource) == ("https://mcp.test/", None)


@pytest.mark.requirement("mcp.oauth-trust")
@pytest.mark.parametrize(
    ("pages", "why"),
    [
        ({RESOURCE: resource(resource="https://evil.test/mcp")}, "another resource"),
        ({RESOURCE: resource(resource="https://mcp.test/other")}, "another resource"),
        ({METADATA: metadata("https://evil.test")}, "names another issuer"),
        ({METADATA: metadata(ISSUER + "/")}, "names another issuer"),
        ({METADATA: metadata(token_endpoint="http://as.test/token")}, "no https address"),
        ({METADATA: metadata(registration_endpoint="javascript:alert(1)")}, "no https address"),
        ({METADATA: metadata(authorization_endpoint="https://as.test/a\r\nset-cookie: x")}, "no https address"),
        ({METADATA: metadata(token_endpoint=None)}, "no token endpoint"),
        ({METADATA: (404, None)}, "says nothing of itself"),
        ({METADATA: b"<html>"}, "says nothing of itself"),
    ],
)
async def test_what_cannot_be_believed_is_not(net: Net, pages: dict[str, Any], why: str) -> None:
    net.pages |= pages
    with pytest.raises(Mistrusted, match=why):
        await discover(net, URL, None)


@pytest.mark.parametrize("page", [RESOURCE, METADATA])
@pytest.mark.parametrize("answer", [(503, None), (429, None), AWAY])
async def test_whoever_is_away_is_not_taken_for_one_who_says_nothing(net: Net, page: str, answer: Any) -> None:
    net.pages[page] = answer
    with pytest.raises(UpstreamUnreachable):
        await discover(net, URL, None)
    assert net.asked[-1] == page
