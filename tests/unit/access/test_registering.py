from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from pointsman.access.registering import (
    MAX_DOLLARS,
    AuthBody,
    check_auth,
    check_cost,
    check_headers,
    check_reference,
    check_url,
    read,
    refuse,
    static_credential,
)
from pointsman.errors import InvalidRequest
from pointsman.upstream.guard import Guard
from pointsman.wire.secret import Secret


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    a: int = 1
    b: str = "x"


def test_a_body_is_read_alone_or_as_a_change() -> None:
    assert read(b'{"a": 2, "b": null}', Body) == Body(2, "x")
    assert read(b'{"a": 2}', Body, Body(1, "y")) == Body(2, "y")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"c": 1}', b'{"a": "1"}', b"\xff", b"[" * 5000])
def test_a_body_of_another_shape_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read(body, Body)


def refused(call: Any, *args: Any, **more: Any) -> str | None:
    with pytest.raises(InvalidRequest) as error:
        call(*args, **more)
    return error.value.param


def test_what_is_wrong_is_told_of_its_member() -> None:
    refuse(None, "a")
    assert refused(refuse, "is wrong", "a") == "a"


def test_an_address_is_public_or_one_that_is_allowed() -> None:
    check_url("https://h/a", Guard(), "url")
    check_url("http://10.0.0.1", Guard(["10.0.0.0/8"]), "url")
    for url in ("nonsense", "http://10.0.0.1", "http://localhost"):
        assert refused(check_url, url, Guard(), "url") == "url"


def test_headers_are_neither_framing_nor_ours_nor_variables_of_the_gateway() -> None:
    check_headers({"authorization": "Bearer x"}, ("x-trace",))
    assert refused(check_headers, {"host": "x"}, ()) == "static_headers"
    assert refused(check_headers, {"x-a": "os.environ/HOME"}, ()) == "static_headers"
    assert refused(check_headers, {}, ("Authorization",)) == "extra_headers"
    assert refused(check_headers, {}, ("a b",)) == "extra_headers"
    check_reference("environ", "auth")
    assert refused(check_reference, "os.environ/HOME", "auth") == "auth"


def test_a_price_is_an_amount_that_can_be_counted() -> None:
    check_cost(Decimal(0), "cost", "a call")
    check_cost(MAX_DOLLARS, "cost", "a call")
    for cost in ("-0.1", "NaN", "Infinity", "1000001"):
        assert refused(check_cost, Decimal(cost), "cost", "a call") == "cost"


def test_a_credential_is_there_where_it_is_needed() -> None:
    check_auth(None, "none", is_kept=False)
    check_auth(None, "api_key", is_kept=True)
    check_auth(AuthBody(value="v"), "api_key", is_kept=False)
    assert refused(check_auth, AuthBody(value="v"), "none", is_kept=False) == "auth"
    assert refused(check_auth, None, "api_key", is_kept=False) == "auth"
    assert refused(check_auth, AuthBody(client_secret="os.environ/X"), "oauth2", is_kept=False) == "auth"


def test_a_credential_is_the_value_of_a_header() -> None:
    assert static_credential("api_key", AuthBody(value="v"), "x-api-key") == ("x-api-key", Secret("v"))
    assert static_credential("api_key", AuthBody(value="v", header="x-k"), "x-api-key") == ("x-k", Secret("v"))
    assert static_credential("bearer_token", AuthBody(token="t"), "x-api-key")[1] == Secret("t")
    assert refused(static_credential, "bearer_token", AuthBody(value="v"), "x-api-key") == "auth"
    assert refused(static_credential, "api_key", AuthBody(value="a\nb"), "x-api-key") == "auth"
