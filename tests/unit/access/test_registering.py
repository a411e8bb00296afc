from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from pointsman.access.registering import (
    MAX_DOLLARS,
    AuthBody,
    check_cost,
    check_reference,
    check_url,
    read,
    refuse,
    settle_auth,
    settle_headers,
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
    assert settle_headers(None, {"x-a": "old"}, ("x-trace",)) == {"x-a": "old"}
    assert settle_headers({"authorization": "Bearer x"}, {"x-a": "old"}, ()) == {"authorization": "Bearer x"}
    assert refused(settle_headers, {"host": "x"}, {}, ()) == "static_headers"
    assert refused(settle_headers, {"x-a": "os.environ/HOME"}, {}, ()) == "static_headers"
    assert refused(settle_headers, {}, {}, ("Authorization",)) == "extra_headers"
    assert refused(settle_headers, {}, {}, ("a b",)) == "extra_headers"
    check_reference("environ", "auth")
    assert refused(check_reference, "os.environ/HOME", "auth") == "auth"


def test_a_price_is_an_amount_that_can_be_counted() -> None:
    check_cost(Decimal(0), "cost", "a call")
    check_cost(MAX_DOLLARS, "cost", "a call")
    for cost in ("-0.1", "NaN", "Infinity", "1000001"):
        assert refused(check_cost, Decimal(cost), "cost", "a call") == "cost"


class Settings(msgspec.Struct, frozen=True):
    """As a server or an agent has them."""

    kind: str = "none"
    header: str = "x-api-key"
    value: Secret | None = None


def settle(kind: str, given: AuthBody | None, before: Settings | None = None) -> Settings:
    return settle_auth(kind, given, before, Settings, lambda _: Settings("oauth2", "authorization"))


def test_a_credential_is_there_where_it_is_needed() -> None:
    before = Settings("api_key", value=Secret("old"))
    assert settle("none", None, before) == Settings()
    assert settle("api_key", None, before) == before
    assert settle("api_key", AuthBody(value="v"), before) == Settings("api_key", value=Secret("v"))
    assert settle("oauth2", AuthBody(client_id="c"), before) == Settings("oauth2", "authorization")
    assert refused(settle, "none", AuthBody(value="v")) == "auth"
    assert refused(settle, "api_key", None) == "auth"
    assert refused(settle, "bearer_token", None, before) == "auth"
    assert refused(settle, "oauth2", AuthBody(client_secret="os.environ/X")) == "auth"


def test_a_credential_is_the_value_of_a_header() -> None:
    assert settle("api_key", AuthBody(value="v")) == Settings("api_key", "x-api-key", Secret("v"))
    assert settle("api_key", AuthBody(value="v", header="x-k")) == Settings("api_key", "x-k", Secret("v"))
    assert settle("bearer_token", AuthBody(token="t")).value == Secret("t")
    assert refused(settle, "bearer_token", AuthBody(value="v")) == "auth"
    assert refused(settle, "api_key", AuthBody(value="a\nb")) == "auth"
