from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
from unit.mcp.auth.authorities import ISSUER, METADATA, World, metadata, server

from pointsman.access.caller import MASTER
from pointsman.mcp.auth.tickets import Ticket
from pointsman.mcp.settings import McpSettings, ServerSettings

Make = Callable[..., tuple[Any, Any]]
MASTER_KEY = "sk-master-canary"
HOST = b"gate.example:4000"
ORIGIN = b"http://gate.example:4000"
FAR = ServerSettings(id="open", name="Open", url="https://open.test/mcp", allow_all_keys=True)


class Site:
    """The endpoints, as a browser reaches them."""

    def __init__(self, desk: Any, mcp: Any, world: World, make_exchange: Any, wire: Any) -> None:
        self.desk = desk
        self.mcp = mcp
        self.world = world
        self._make_exchange = make_exchange
        self._wire = wire

    async def go(
        self, method: str, path: str, query: str = "", body: bytes = b"", **headers: bytes
    ) -> tuple[int, dict[str, str], str]:
        """Status, headers and text."""
        self._wire.sent = b""
        given = {name.replace("_", "-").encode(): value for name, value in headers.items()}
        exchange = self._make_exchange(method, path, query=query, headers={b"host": HOST} | given, body=body)
        await self.desk.gateway.handle(exchange)
        text = self._wire.sent.partition(b"\r\n\r\n")[2].decode()
        return self._wire.status, self._wire.headers, text

    async def start(self, query: str, key: str = MASTER_KEY) -> tuple[int, dict[str, str], str]:
        return await self.go("GET", "/mcp/oauth/start", query, authorization=b"Bearer " + key.encode())

    def link(self, caller: str = "master", server_id: str = "far") -> str:
        ticket = Ticket(server_id, caller, int(self.world.time) + 60, "read")
        return urlencode({"ticket": self.world.tickets.sign(ticket)})


@pytest.fixture
async def site(make_mcp: Make, make_exchange: Any, wire: Any, world: World) -> Site:
    desk, mcp = make_mcp(McpSettings(servers=(server(), FAR), authorization_servers=("https://login.example",)))
    mcp.signing = world.signing_in
    mcp.authorization_servers = ("https://login.example",)
    return Site(desk, mcp, world, make_exchange, wire)


def cookie_of(headers: dict[str, str]) -> bytes:
    return headers["set-cookie"].partition(";")[0].encode()


@pytest.mark.requirement("mcp.sign-in")
async def test_a_user_signs_in(site: Site) -> None:
    site.world.net.tokens = [{"access_token": "canary-1"}]
    status, headers, _ = await site.start(site.link())
    assert status == 303
    assert headers["location"].startswith(f"{ISSUER}/authorize?")
    asked = parse_qs(urlsplit(headers["location"]).query)
    assert asked["redirect_uri"] == ["http://gate.example:4000/mcp/oauth/callback"]
    assert headers["set-cookie"].endswith("; Path=/mcp/oauth; Max-Age=900; HttpOnly; SameSite=Lax")
    back = urlencode({"state": asked["state"][0], "code": "c", "iss": ISSUER})
    status, after, text = await site.go("GET", "/mcp/oauth/callback", back, cookie=b"a=b; " + cookie_of(headers))
    assert (status, "You are signed in" in text) == (200, True)
    name = cookie_of(headers).decode().partition("=")[0]
    assert after["set-cookie"] == f"{name}=; Path=/mcp/oauth; Max-Age=0; HttpOnly; SameSite=Lax"
    assert "canary" not in text
    found = await site.world.grants.known(server(), MASTER)
    assert found is not None
    assert found.access_token == "canary-1"


@pytest.mark.requirement("mcp.sign-in")
async def test_a_browser_without_a_key_is_asked_for_it_on_a_page_of_the_gateway_alone(site: Site) -> None:
    status, headers, text = await site.go("GET", "/mcp/oauth/start", site.link())
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    # Fetch, section 3.2: with "no-referrer" the origin of a form would be told as "null".
    assert headers["referrer-policy"] == "same-origin"
    assert '<form method="post">' in text
    for origin, found in (
        (ORIGIN, 303),
        (b"https://gate.example:4000", 303),
        (b"http://evil.example", 403),
        (b"null", 403),
        (b"", 403),
    ):
        form = f"key={quote(MASTER_KEY)}".encode()
        status, headers, _ = await site.go("POST", "/mcp/oauth/start", site.link(), form, origin=origin)
        assert status == found
        assert ("set-cookie" in headers) is (found == 303)
    status, _, text = await site.go("POST", "/mcp/oauth/start", site.link(), b"key=sk-wrong", origin=ORIGIN)
    assert (status, '<form method="post">' in text) == (401, True)
    assert "sk-wrong" not in text


@pytest.mark.requirement("mcp.sign-in")
async def test_nobody_signs_in_for_another_one(site: Site) -> None:
    key = await site.desk.key(object_permission={"mcp_servers": ["far"]})
    status, headers, text = await site.start(site.link("master"), key)
    assert (status, "made for another key" in text) == (403, True)
    assert "set-cookie" not in headers
    assert site.world.net.asked == []


@pytest.mark.parametrize(
    ("terms", "query", "status"),
    [
        ({"object_permission": {"mcp_servers": ["far"]}}, "server=far", 303),
        ({"object_permission": {"mcp_servers": ["other"]}}, "server=far", 404),
        ({"object_permission": {"mcp_servers": ["far"]}}, "server=nowhere", 404),
        ({"object_permission": {"mcp_servers": ["far"]}}, "server=open", 404),
        ({"object_permission": {"mcp_servers": ["far"]}}, "ticket=x", 400),
        ({"object_permission": {"mcp_servers": ["far"]}, "allowed_routes": ["openai_routes"]}, "server=far", 403),
    ],
)
async def test_a_key_signs_in_to_what_it_may_use(site: Site, terms: dict[str, Any], query: str, status: int) -> None:
    key = await site.desk.key(**terms)
    found, headers, _ = await site.start(query, key)
    assert found == status
    assert ("location" in headers) is (status == 303)


async def test_what_is_wrong_with_an_authorization_server_is_told_to_the_user(site: Site) -> None:
    site.world.net.pages[METADATA] = metadata("https://evil.test/<b>")
    status, _, text = await site.start("server=far")
    assert (status, "names another issuer" in text, "<b>" in text) == (400, True, False)
    site.world.net.pages[METADATA] = (503, None)
    status, _, text = await site.start("server=far")
    assert (status, "cannot answer now" in text) == (502, True)


async def test_who_comes_back_without_having_been_sent_is_not_signed_in(site: Site) -> None:
    for cookie in (b"", b"pointsman_sign_in_x=y"):
        status, headers, text = await site.go("GET", "/mcp/oauth/callback", "state=x&code=y", cookie=cookie)
        assert (status, "not made here" in text, "set-cookie" in headers) == (400, True, False)
    status, headers, _ = await site.start("server=far")
    state = parse_qs(urlsplit(headers["location"]).query)["state"][0]
    cookie = cookie_of(headers)
    site.world.net.tokens = [(503, None)]
    for query, found in ((f"state={state}&error=denied", 400), (f"state={state}&code=c", 502)):
        status, headers, text = await site.go("GET", "/mcp/oauth/callback", query, cookie=cookie)
        assert (status, "You are not signed in" in text) == (found, True)
        assert "Max-Age=0" in headers["set-cookie"]


async def test_the_address_that_is_configured_is_the_one_that_is_told(site: Site) -> None:
    site.mcp.public_url = "https://Gate.example/"
    form = f"key={quote(MASTER_KEY)}".encode()
    status, _, _ = await site.go("POST", "/mcp/oauth/start", "server=far", form, origin=b"https://gate.example")
    assert status == 303
    site.mcp.public_url = "https://gate.example/"
    _, headers, _ = await site.start("server=far")
    assert quote("https://gate.example/mcp/oauth/callback", safe="") in headers["location"]
    assert headers["set-cookie"].endswith("; Secure")
    _, _, text = await site.go("GET", "/mcp/oauth/client-metadata.json")
    assert '"client_id":"https://gate.example/mcp/oauth/client-metadata.json"' in text


async def test_a_user_signs_out(site: Site) -> None:
    status, _, text = await site.go("DELETE", "/mcp/oauth/tokens/far", authorization=b"Bearer " + MASTER_KEY.encode())
    assert (status, text) == (200, '{"status":"signed_out","server_id":"far"}')
    status, _, _ = await site.go("DELETE", "/mcp/oauth/tokens/x", authorization=b"Bearer " + MASTER_KEY.encode())
    assert status == 404


@pytest.mark.requirement("mcp.protected-resource")
@pytest.mark.parametrize("path", ["", "/mcp", "/mcp/", "/mcp/far"])
async def test_clients_are_told_who_gives_tokens_if_anybody_does(site: Site, path: str) -> None:
    status, _, text = await site.go("GET", "/.well-known/oauth-protected-resource" + path)
    assert status == 200
    assert f'"resource":"http://gate.example:4000{path.rstrip("/") or "/mcp"}"' in text
    assert '"authorization_servers":["https://login.example"]' in text
    site.mcp.authorization_servers = ()
    status, _, _ = await site.go("GET", "/.well-known/oauth-protected-resource" + path)
    assert status == 404


@pytest.mark.requirement("mcp.protected-resource")
async def test_a_client_without_a_key_is_challenged_where_there_are_authorization_servers(site: Site) -> None:
    for headers in ((), (("www-authenticate", 'Bearer resource_metadata="x"'),)):
        site.mcp.challenge = lambda _headers, _path, told=headers: told
        for key in (b"", b"Bearer sk-wrong"):
            status, found, _ = await site.go("POST", "/mcp/far", body=b"{}", authorization=key)
            assert status == 401
            assert found["www-authenticate"] == (headers[0][1] if headers else "Bearer")
    status, found, _ = await site.go("GET", "/mcp/tools")
    assert (status, found["www-authenticate"]) == (401, "Bearer")
