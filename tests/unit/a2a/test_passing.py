from __future__ import annotations

from typing import Any

import pytest

from pointsman.a2a.base import Call
from pointsman.a2a.passing import headers_for
from pointsman.a2a.protocol.operations import Operation
from pointsman.a2a.settings import AgentSettings
from pointsman.access.caller import NOBODY


def found(forward: tuple[str, ...], *extensions: str, ours: tuple[str, ...] = (), **headers: Any) -> dict[str, str]:
    call = Call(
        caller=NOBODY,
        agent="a",
        operation=Operation.GET,
        version="1.0",
        params=b"{}",
        extensions=extensions,
        headers={name.replace("_", "-").encode(): value.encode("latin-1") for name, value in headers.items()},
    )
    return headers_for(call, AgentSettings(id="a", name="a", forward_headers=forward), ours)


def test_an_agent_is_told_the_trace_the_extensions_and_what_the_operator_says() -> None:
    assert found(("X-Tenant", "x-gone"), "https://e", "https://f", x_tenant="ü", x_other="1", tracestate="t") == {
        "a2a-extensions": "https://e, https://f",
        "tracestate": "t",
        "x-tenant": "ü",
    }
    assert found(()) == {}


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "cookie", "host", "content-length", "a2a-version"])
def test_no_credential_of_the_gateway_and_nothing_of_the_connection_is(name: str) -> None:
    headers: dict[str, Any] = {name.replace("-", "_"): "x"}
    assert found((name,), **headers) == {}


def test_a_header_that_holds_a_key_of_this_gateway_is_not_passed_on() -> None:
    assert found(("x-own",), x_own="x") == {"x-own": "x"}
    assert found(("x-own",), ours=("x-own",), x_own="x") == {}
