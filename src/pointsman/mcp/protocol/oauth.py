"""What the protocol says of authorization: where to ask, what to believe, and what to ask for.

Sources: ``basic/authorization`` of the MCP specification, RFC 9728 (protected resource metadata), RFC 8414
(authorization server metadata), RFC 9207 (``iss``), RFC 8707 (``resource``), RFC 7591 (registration), RFC 6749
and RFC 6750.
Identifiers are compared as they are written, for two addresses that mean the same may be in the hands of two parties.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode, urlsplit

import msgspec

from pointsman.wire.oauth import Mistrusted

OFFLINE: Final = "offline_access"
INSUFFICIENT: Final = "insufficient_scope"
LOOPBACK: Final = re.compile(r"(?:localhost|127(?:\.[0-9]{1,3}){3}|::1)", re.IGNORECASE)
MAX_CHALLENGE: Final = 4096
"""Characters of a challenge that are read."""
# Each name is tried once, at its beginning, and nothing twice: a server could have a worker try for minutes.
_PARAM = re.compile(r'(?<![A-Za-z_])([A-Za-z_]{1,64}+)\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)"|([^\s,"]++))')


class Challenge(msgspec.Struct, frozen=True):
    """What a server has said with a refusal."""

    error: str = ""
    scope: str | None = None
    resource_metadata: str | None = None


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says of who lets clients in (RFC 9728)."""

    resource: str
    authorization_servers: tuple[str, ...] = ()
    scopes_supported: tuple[str, ...] | None = None


class Issuer(msgspec.Struct, frozen=True, kw_only=True):
    """What an authorization server says of itself (RFC 8414)."""

    issuer: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    registration_endpoint: str | None = None
    scopes_supported: tuple[str, ...] | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] | None = None
    code_challenge_methods_supported: tuple[str, ...] | None = None
    authorization_response_iss_parameter_supported: bool = False
    client_id_metadata_document_supported: bool = False


def challenge_of(header: str) -> Challenge:
    """What ``WWW-Authenticate`` says, as far as it is read."""
    header = header[:MAX_CHALLENGE]
    _, found, rest = header.lower().partition("bearer")
    if not found:
        return Challenge()
    params: dict[str, str] = {}
    for name, quoted, plain in _PARAM.findall(header[-len(rest) :] if rest else ""):
        params.setdefault(name.lower(), re.sub(r"\\(.)", r"\1", quoted) if quoted else plain)
    return Challenge(params.get("error", ""), params.get("scope"), params.get("resource_metadata"))


# -- where to ask -----------------------------------------------------------------------------------------------------


def resource_urls(url: str, told: str | None) -> list[str]:
    """Where a server's metadata may be: where it has said, or at the well-known places."""
    if told:
        return [told]
    parts = urlsplit(url)
    root = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-protected-resource"
    path = parts.path.rstrip("/")
    return [root + path, root] if path else [root]


def issuer_urls(issuer: str) -> list[str]:
    """Where the metadata of an authorization server may be."""
    parts = urlsplit(issuer)
    root, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    found = [
        f"{root}/.well-known/oauth-authorization-server{path}",
        f"{root}/.well-known/openid-configuration{path}",
    ]
    return [*found, f"{root}{path}/.well-known/openid-configuration"] if path else found


def origin_of(url: str) -> str:
    """The issuer of a server that says nothing of one, as it was before there was such metadata."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


# -- what to believe --------------------------------------------------------------------------------------------------


def check_resource(resource: Resource, url: str) -> None:
    """:raises Mistrusted: the metadata is not that of the server at ``url``"""
    mine, told = urlsplit(url), urlsplit(resource.resource)
    is_same = (mine.scheme.lower(), mine.netloc.lower()) == (told.scheme.lower(), told.netloc.lower())
    path = told.path.rstrip("/") + "/"
    if not is_same or not (mine.path.rstrip("/") + "/").startswith(path):
        raise Mistrusted(f"its metadata is that of another resource: {resource.resource[:200]}")


def check_issuer(found: Issuer, issuer: str, url: str) -> None:
    """Whether ``found`` is that of ``issuer``, and may be used for the server at ``url``.

    :raises Mistrusted: it is not, or may not
    """
    if found.issuer != issuer:
        raise Mistrusted(f"the metadata of {issuer[:200]} names another issuer: {found.issuer[:200]}")
    for one in (found.authorization_endpoint, found.token_endpoint, found.registration_endpoint):
        if one:
            check_endpoint(one, url)
    if not found.token_endpoint:
        raise Mistrusted(f"{issuer[:200]} has no token endpoint")


def check_code_flow(found: Issuer) -> None:
    """:raises Mistrusted: users cannot sign in there, or not safely"""
    if not found.authorization_endpoint:
        raise Mistrusted(f"{found.issuer[:200]} has no authorization endpoint")
    if "S256" not in (found.code_challenge_methods_supported or ()):
        raise Mistrusted(f"{found.issuer[:200]} does not say that it supports PKCE with S256")


def check_endpoint(endpoint: str, url: str) -> None:
    """:raises Mistrusted: tokens would go over the net in the clear, where the server at ``url`` would not"""
    try:
        parts = urlsplit(endpoint if endpoint.isascii() and endpoint.isprintable() and " " not in endpoint else "")
    except ValueError:
        parts = urlsplit("")
    is_near = bool(LOOPBACK.fullmatch(parts.hostname or "")) and urlsplit(url).scheme == "http"
    if not (parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and is_near))):
        raise Mistrusted(f"{endpoint[:200]} is no https address")


def check_answer(issuer: str, iss: str | None, *, is_promised: bool) -> None:
    """Who has answered (RFC 9207): that has to be whom the user was sent to.

    :raises Mistrusted: it was somebody else, or nobody says, although that was promised
    """
    if iss is None and is_promised:
        raise Mistrusted("the answer does not say whose it is, although the authorization server promises that")
    if iss is not None and iss != issuer:
        raise Mistrusted(f"the answer is that of another authorization server: {iss[:200]}")


# -- what to ask for --------------------------------------------------------------------------------------------------


def scope_for(
    configured: Sequence[str], challenged: str | None, resource: Resource | None, issuer: Issuer, held: str = ""
) -> str | None:
    """Scopes to ask for; ``None``: none is named. ``held`` are those that there are already, which stay."""
    found: str | None = " ".join(configured) or None
    if challenged is not None:
        found = joined(found or "", challenged)
    elif found is None and resource is not None and resource.scopes_supported is not None:
        found = " ".join(resource.scopes_supported)
    if held:
        found = joined(held, found or "")
    if found and OFFLINE in (issuer.scopes_supported or ()):
        found = joined(found, OFFLINE)
    return found or None


def joined(first: str, second: str) -> str:
    """Scopes of both, each once."""
    return " ".join(dict.fromkeys([*first.split(), *second.split()]))


def is_within(scope: str, other: str) -> bool:
    """Whether all scopes are among the others."""
    return set(scope.split()) <= set(other.split())


def authorization_url(endpoint: str, params: Mapping[str, str | None]) -> str:
    """Where the user goes."""
    query = urlencode({name: value for name, value in params.items() if value})
    return endpoint + ("&" if urlsplit(endpoint).query else "?") + query


def pkce_challenge(verifier: str) -> str:
    """What is shown of a secret before it is (RFC 7636, S256)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def client_metadata(redirect_uri: str, method: str, client_id: str | None = None) -> dict[str, object]:
    """What the gateway says of itself, to be registered or as a document at ``client_id``."""
    is_native = urlsplit(redirect_uri).scheme == "http"
    found: dict[str, object] = {
        "client_name": "Pointsman",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": method,
        "application_type": "native" if is_native else "web",
    }
    return found if client_id is None else {"client_id": client_id} | found
