"""Signing in to MCP servers, for browsers; and who lets clients in to this gateway, for clients.

The pages are for people who have opened a link. They are plain, and hold no script.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from urllib.parse import parse_qsl, urlsplit

from pointsman.access.policy import Access, may_call
from pointsman.edge.admin import MAX_BODY_BYTES
from pointsman.edge.callers import identify
from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.mcp import mcp_of, missing, seen
from pointsman.edge.reply import identity, json_reply
from pointsman.errors import Forbidden, GatewayError, ResourceNotFound, Unauthenticated
from pointsman.mcp.auth.places import METADATA, metadata_of
from pointsman.mcp.auth.signing_in import cookie_of, document
from pointsman.mcp.auth.tickets import JOURNEY_SECONDS, Stale
from pointsman.wire.here import base_of
from pointsman.wire.oauth import Mistrusted

HTML = (
    # With "no-referrer" browsers would not tell by whose page a form was sent.
    b"content-type: text/html; charset=utf-8\r\ncache-control: no-store\r\nreferrer-policy: same-origin\r\n"
    b"content-security-policy: default-src 'none'; frame-ancestors 'none'; base-uri 'none'\r\n"
    b"x-content-type-options: nosniff\r\n"
)
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body><h1>{title}</h1>{body}</body></html>
"""
FORM = """<p>Signing in lets the key that you use here act for you there. Enter that key, and no one else's:</p>
<form method="post"><input type="password" name="key" autocomplete="off" required autofocus>
<button>Go on</button></form>"""
NO_OTHERS = "This link was made for another key than yours. Whoever has sent it to you wants you to sign in for him."


async def start(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /mcp/oauth/start``: to the authorization server of the server that ``ticket`` or ``server`` names."""
    query = dict(parse_qsl(exchange.query))
    mcp_of(serving)
    if serving.gatekeeper.is_open or any(serving.gatekeeper.shown(exchange.headers)):
        await _begin(serving, exchange, query, exchange.headers)
    else:
        _page(exchange, 200, "Sign in", FORM)


async def start_with_key(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /mcp/oauth/start``: the same with a key in the form of the page."""
    mcp = mcp_of(serving)
    form = dict(parse_qsl((await exchange.body(MAX_BODY_BYTES)).decode("latin-1")))
    if not _is_ours(exchange.headers, mcp.public_url):
        # A page of somebody else could have this browser sign in for his key.
        raise Forbidden("This form is sent from the page of the gateway only")
    key = form.get("key", "").strip().encode("latin-1", "replace")
    await _begin(serving, exchange, dict(parse_qsl(exchange.query)), {b"authorization": b"Bearer " + key})


async def callback(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /mcp/oauth/callback``: back from the authorization server."""
    query = dict(parse_qsl(exchange.query))
    mcp = mcp_of(serving)
    signing_in, registry = await mcp.signing_in(), await mcp.registry()
    over = ""
    try:
        journey = signing_in.journey(query.get("state", ""), _cookies(exchange))
        over = _cookie(cookie_of(journey.state), "", 0)
        await signing_in.finish(registry.entries.get(journey.server), journey, query)
    except (Stale, Mistrusted) as error:
        _page(exchange, 400, "You are not signed in", f"<p>{escape(str(error))}</p>", over)
    except GatewayError as error:
        _page(exchange, error.status, "You are not signed in", f"<p>{escape(error.message)}</p>", over)
    else:
        text = f"<p>The gateway can use {escape(journey.server)} for you now. You can close this page.</p>"
        _page(exchange, 200, "You are signed in", text, over)


async def client_metadata(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /mcp/oauth/client-metadata.json``: what authorization servers are told of the gateway."""
    json_reply(exchange, document(base_of(mcp_of(serving).public_url, exchange.headers)))


async def sign_out(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``DELETE /mcp/oauth/tokens/{server_id}``: forget what the caller has signed in to a server with."""
    mcp = mcp_of(serving)
    settings = seen(await mcp.registry(), exchange.caller, params["server_id"])
    await (await mcp.signing_in()).grants.drop(settings, exchange.caller)
    json_reply(exchange, {"status": "signed_out", "server_id": settings.id})


async def metadata(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /.well-known/oauth-protected-resource``: who gives tokens for this gateway (RFC 9728)."""
    mcp = mcp_of(serving)
    if not mcp.authorization_servers:
        raise ResourceNotFound("No authorization server is configured here: send a key of the gateway")
    path = exchange.path.removeprefix(METADATA).rstrip("/") or "/mcp"
    json_reply(exchange, metadata_of(base_of(mcp.public_url, exchange.headers), path, mcp.authorization_servers))


async def _begin(
    serving: Serving, exchange: Exchange, query: Mapping[str, str], headers: Mapping[bytes, bytes]
) -> None:
    mcp = mcp_of(serving)
    signing_in, registry = await mcp.signing_in(), await mcp.registry()
    try:
        caller = await identify(serving, headers)
        if not may_call(caller, Access.MCP, "/mcp"):
            raise Forbidden("This key may not use MCP servers")
        link = query.get("ticket")
        ticket = signing_in.ticket(query.get("server", ""), caller) if link is None else signing_in.read(link)
        if ticket.caller != caller.name:
            raise Forbidden(NO_OTHERS)
        settings = seen(registry, caller, ticket.server)
        if settings.auth.kind != "oauth2" or settings.auth.grant != "authorization_code":
            raise missing(settings.id)
        base = base_of(mcp.public_url, exchange.headers)
        begun = await signing_in.begin(settings, caller, ticket, base)
    except (Stale, Mistrusted) as error:
        _page(exchange, 400, "You cannot sign in", f"<p>{escape(str(error))}</p>")
    except Unauthenticated as error:
        _page(exchange, 401, "Sign in", f"<p>{escape(error.message)}</p>{FORM}")
    except GatewayError as error:
        _page(exchange, error.status, "You cannot sign in", f"<p>{escape(error.message)}</p>")
    else:
        secure = "; Secure" if base.startswith("https://") else ""
        cookie = _cookie(begun.cookie, begun.value, int(JOURNEY_SECONDS), secure)
        lines = f"location: {begun.url}\r\n{cookie}cache-control: no-store\r\n"
        exchange.reply(303, lines.encode("ascii") + identity(exchange), b"")


def _cookie(name: str, value: str, seconds: int, secure: str = "") -> str:
    return f"set-cookie: {name}={value}; Path=/mcp/oauth; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}\r\n"


def _page(exchange: Exchange, status: int, title: str, body: str, lines: str = "") -> None:
    exchange.reply(
        status, HTML + lines.encode("ascii") + identity(exchange), PAGE.format(title=escape(title), body=body).encode()
    )


def _cookies(exchange: Exchange) -> dict[str, str]:
    found = {}
    for one in exchange.headers.get(b"cookie", b"").decode("latin-1").split(";"):
        name, _, value = one.strip().partition("=")
        found[name] = value
    return found


def _is_ours(headers: Mapping[bytes, bytes], public_url: str) -> bool:
    """Whether a form comes from a page of the gateway."""
    _, _, origin = headers.get(b"origin", b"").decode("latin-1").lower().partition("://")
    host = headers.get(b"host", b"").decode("latin-1").lower()
    return bool(origin) and origin in {host, urlsplit(public_url.lower()).netloc}
