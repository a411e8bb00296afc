from __future__ import annotations

import pytest

from pointsman.upstream.routes import parse_origin, route_to
from pointsman.upstream.settings import Proxies
from pointsman.upstream.tls import SessionContext


@pytest.mark.parametrize(
    ("url", "host", "port", "header"),
    [
        ("http://api.test/v1", "api.test", 80, b"api.test"),
        ("https://API.test", "api.test", 443, b"api.test"),
        ("https://api.test:443", "api.test", 443, b"api.test"),
        ("http://api.test:443", "api.test", 443, b"api.test:443"),
        ("http://127.0.0.1:8000/v1", "127.0.0.1", 8000, b"127.0.0.1:8000"),
        ("http://[::1]:8000/v1", "::1", 8000, b"[::1]:8000"),
        ("http://[::1]/v1", "::1", 80, b"[::1]"),
        ("http://[fe80::1%eth0]:80", "fe80::1%eth0", 80, b"[fe80::1]"),
        ("http://b\u00fccher.test", "xn--bcher-kva.test", 80, b"xn--bcher-kva.test"),
        ("http://my_service:80", "my_service", 80, b"my_service"),
    ],
)
def test_an_address_is_parsed(url: str, host: str, port: int, header: bytes) -> None:
    origin = parse_origin(url)
    assert (origin.host, origin.port, origin.host_header) == (host, port, header)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.test",
        "ftp://api.test",
        "http://",
        "http://:80",
        "http://a b",
        "http://a.test:99999",
        "http://a.test:0",
        "http://a.test:x",
        "http://user:secret@a.test",
        "http://a\r\nb.test x",
        "http://a;b",
        "http://[::g]",
        "http://-a.test",
    ],
)
def test_what_cannot_be_called_is_refused(url: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  some texts are the standard library's
        parse_origin(url)
    assert "secret" not in str(caught.value)


def test_tls_is_made_only_for_those_who_need_it() -> None:
    def never() -> SessionContext:
        raise AssertionError

    assert route_to(parse_origin("http://a.test"), Proxies(), never).tls is None
    context = SessionContext()
    route = route_to(parse_origin("https://a.test"), Proxies(https="https://p.test"), lambda: context)
    assert route.tls is context
    assert route.proxy_tls is context
    assert route.name == "a.test:443"


def test_a_plain_proxy_for_a_plain_target_needs_no_tls() -> None:
    route = route_to(parse_origin("http://[::2]:1"), Proxies(http="http://p.test"), SessionContext)
    assert route.tls is None
    assert route.proxy_tls is None
    assert route.proxy is not None
    assert route.name == "[::2]:1"
