from __future__ import annotations

from typing import Any

import pytest

from pointsman.mcp.protocol.oauth import (
    MAX_CHALLENGE,
    Challenge,
    Issuer,
    Resource,
    authorization_url,
    challenge_of,
    check_endpoint,
    check_resource,
    client_metadata,
    is_within,
    issuer_urls,
    joined,
    pkce_challenge,
    resource_urls,
    scope_for,
)
from pointsman.wire.oauth import Mistrusted


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        ("", Challenge()),
        ("Basic realm=x", Challenge()),
        ("Bearer", Challenge()),
        ('Bearer scope="a b", resource_metadata="https://x/y?z=1,2"', Challenge("", "a b", "https://x/y?z=1,2")),
        ("bearer error=insufficient_scope,scope=a", Challenge("insufficient_scope", "a")),
        ('Basic scope="no", Bearer realm="a\\"b", scope=""', Challenge("", "")),
        ('Bearer scope="first", scope="second"', Challenge("", "first")),
        ('Bearer not="closed, error=x', Challenge("x")),
        (f"Bearer {'a' * 100}=x, error=y", Challenge("y")),
        ('Bearer error_description="error=x", error="invalid_token"', Challenge("invalid_token")),
    ],
)
def test_a_challenge_is_read_as_servers_write_it(header: str, challenge: Challenge) -> None:
    assert challenge_of(header) == challenge


@pytest.mark.parametrize("piece", ["a", "a ", 'a="\\"', "a= ", "a=", ' \\"', "Bearer "])
def test_a_challenge_is_read_as_far_as_challenges_go(piece: str) -> None:
    found = challenge_of(f"Bearer error=x, {piece * (MAX_CHALLENGE // len(piece))}, scope=y")
    assert found == Challenge("x")


def test_metadata_is_looked_for_at_the_path_and_then_at_the_root() -> None:
    root = "https://h:1/.well-known/oauth-protected-resource"
    assert resource_urls("https://h:1/a/b/", None) == [f"{root}/a/b", root]
    assert resource_urls("https://h:1/", None) == resource_urls("https://h:1", None) == [root]
    assert resource_urls("https://h:1/a", "https://h:1/told") == ["https://h:1/told"]
    assert issuer_urls("https://h/") == [
        "https://h/.well-known/oauth-authorization-server",
        "https://h/.well-known/openid-configuration",
    ]


@pytest.mark.parametrize(
    ("resource", "is_good"),
    [
        ("https://h/mcp", True),
        ("https://H/mcp/", True),
        ("https://h", True),
        ("https://h/", True),
        ("https://h/mc", False),
        ("https://h/mcp/deeper", False),
        ("http://h/mcp", False),
        ("https://h:444/mcp", False),
        ("https://h.evil/mcp", False),
        ("", False),
    ],
)
def test_metadata_has_to_be_that_of_the_server_or_of_what_is_above_it(resource: str, is_good: bool) -> None:
    if is_good:
        check_resource(Resource(resource=resource), "https://h/mcp")
    else:
        with pytest.raises(Mistrusted):
            check_resource(Resource(resource=resource), "https://h/mcp")


@pytest.mark.parametrize(
    ("endpoint", "server", "is_good"),
    [
        ("https://as/token", "https://h", True),
        ("http://localhost:1/token", "http://localhost:2", True),
        ("http://127.0.0.1/token", "http://10.0.0.1", True),
        ("http://as/token", "http://h", False),
        ("http://localhost/token", "https://h", False),
        ("ftp://as/token", "https://h", False),
        ("https:///token", "https://h", False),
        ("https://[::", "https://h", False),
        ("https://as/ä", "https://h", False),
        ("https://as/a\nb", "https://h", False),
    ],
)
def test_tokens_go_over_the_net_under_cover(endpoint: str, server: str, is_good: bool) -> None:
    if is_good:
        check_endpoint(endpoint, server)
    else:
        with pytest.raises(Mistrusted):
            check_endpoint(endpoint, server)


def test_scopes_are_added_up_and_none_is_named_where_nobody_names_any() -> None:
    nobody = Issuer(issuer="x")
    assert scope_for((), None, None, nobody) is None
    assert scope_for((), "", Resource(resource="r", scopes_supported=("a",)), nobody) is None
    assert scope_for((), None, Resource(resource="r", scopes_supported=("a", "b")), nobody) == "a b"
    assert joined("a b", "b c") == "a b c"
    assert is_within("", "")
    assert is_within("b a", "a b c")
    assert not is_within("a", "")


def test_a_verifier_is_shown_as_the_rfc_has_it() -> None:
    # RFC 7636, appendix B
    assert (
        pkce_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    )


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [("https://as/a", "https://as/a?b=c+d"), ("https://as/a?x=1", "https://as/a?x=1&b=c+d")],
)
def test_parameters_are_added_to_those_of_the_endpoint(endpoint: str, url: str) -> None:
    assert authorization_url(endpoint, {"b": "c d", "e": None, "f": ""}) == url


@pytest.mark.parametrize(("uri", "kind"), [("https://gate/back", "web"), ("http://localhost:4000/back", "native")])
def test_the_gateway_says_of_which_kind_it_is(uri: str, kind: Any) -> None:
    found = client_metadata(uri, "none")
    assert (found["application_type"], found["redirect_uris"]) == (kind, [uri])
    assert "client_id" not in found
    assert client_metadata(uri, "none", "https://x")["client_id"] == "https://x"
