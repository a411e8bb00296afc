from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import msgspec
import pytest

from pointsman.access.policy import ROLES, Access
from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.gateway import Gateway
from pointsman.edge.reply import json_reply
from pointsman.edge.settings import EdgeSettings
from pointsman.edge.table import ROUTES, Route, Routes, dialect_of
from pointsman.errors import MethodNotAllowed, RouteNotFound


@pytest.mark.parametrize(
    ("method", "path", "route", "params"),
    [
        ("POST", "/v1/chat/completions", "/v1/chat/completions", {}),
        ("POST", "/chat/completions", "/chat/completions", {}),
        (
            "POST",
            "/openai/deployments/gpt-4o/embeddings",
            "/openai/deployments/{model...}/embeddings",
            {"model": "gpt-4o"},
        ),
        ("POST", "/engines/a.b/completions", "/engines/{model...}/completions", {"model": "a.b"}),
        (
            "POST",
            "/openai/deployments/openai/gpt-4o/chat/completions",
            "/openai/deployments/{model...}/chat/completions",
            {"model": "openai/gpt-4o"},
        ),
        ("GET", "/v1/models/openai/gpt-4o", "/v1/models/{model...}", {"model": "openai/gpt-4o"}),
        ("HEAD", "/health/readiness", "/health/readiness", {}),
        ("POST", "/v2/rerank", "/v2/rerank", {}),
        ("POST", "/mcp", "/mcp", {}),
        ("POST", "/mcp/", "/mcp/", {}),
        ("DELETE", "/mcp/a,b", "/mcp/{server}", {"server": "a,b"}),
        ("GET", "/mcp/servers", "/mcp/servers", {}),
        ("GET", "/mcp/servers/sse", "/mcp/servers/{server_id}", {"server_id": "sse"}),
        ("POST", "/mcp/tools/call", "/mcp/tools/call", {}),
        ("GET", "/mcp/sse", "/mcp/sse", {}),
        ("GET", "/mcp/a/sse", "/mcp/{server}/sse", {"server": "a"}),
        ("POST", "/a/mcp", "/{server}/mcp", {"server": "a"}),
    ],
)
def test_a_path_finds_its_route(method: str, path: str, route: str, params: dict[str, str]) -> None:
    found, given = Routes().find(method, path)
    assert found.path == route
    assert dict(given) == params


@pytest.mark.parametrize(
    "path", ["/", "/v2/chat/completions", "/v1/chat/completions/", "//v1/models", "/v1/../v1/models"]
)
def test_a_path_that_nobody_answers_is_not_found(path: str) -> None:
    with pytest.raises(RouteNotFound):
        Routes().find("GET", path)


def test_a_method_that_a_path_does_not_take_names_those_that_it_takes() -> None:
    with pytest.raises(MethodNotAllowed) as raised:
        Routes().find("DELETE", "/v1/models")
    assert raised.value.headers == (("allow", "GET, HEAD"),)


SIGN_IN = ("/mcp/oauth/start", "/mcp/oauth/callback", "/mcp/oauth/client-metadata.json")
"""A browser shows no key in a header: the pages see for themselves who opens them."""
CARDS = tuple(f"/.well-known/{name}" for name in ("agent-card.json", "agent.json", "jwks.json", "api-catalog"))
METADATA = tuple("/.well-known/oauth-protected-resource" + path for path in ("", "/mcp", "/mcp/", "/mcp/{server}"))


def test_only_probes_metadata_and_pages_for_browsers_are_public() -> None:
    public = {route.path for route in ROUTES if route.access is Access.PUBLIC}
    probes = {"/health/liveliness", "/health/liveness", "/health/readiness"}
    # What an agent sends about a task proves itself by a token in its path.
    assert public == {*probes, *SIGN_IN, *METADATA, *CARDS, "/a2a/push/{token}"}


def test_no_two_lines_of_the_table_answer_the_same() -> None:
    keys = [(route.method, route.path) for route in ROUTES]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("header", "dialect"),
    [
        (b"anthropic-version", "anthropic"),
        (b"x-goog-api-key", "gemini"),
        (b"x-goog-api-client", "gemini"),
        (b"authorization", "openai"),
    ],
)
def test_headers_tell_whose_sdk_asks_for_models(header: bytes, dialect: str) -> None:
    assert dialect_of({header: b"x"}) == dialect
    assert Routes().find("GET", "/v1/models")[0].dialect is None


# -- who may call what: every route by every role ---------------------------------------------------------------------

EVERYBODY = {"master", "admin", "team_admin", "key", "read_only", "none"}
WITH_KEY = EVERYBODY - {"none"}
ADMINS, WATCHERS = {"master", "admin"}, {"master", "admin", "read_only"}
MAKERS = WITH_KEY - {"read_only"}
EXPECTED: dict[str, set[str]] = {
    "GET /health/liveliness": EVERYBODY,
    "GET /health/liveness": EVERYBODY,
    "GET /health/readiness": EVERYBODY,
    "GET /health": WATCHERS,
    "GET /metrics": WATCHERS,
    "GET /v1beta/models": WITH_KEY,
    "GET /v1beta/models/{model...}": WITH_KEY,
    "GET /v1/models": WITH_KEY,
    "GET /models": WITH_KEY,
    "GET /v1/models/{model...}": WITH_KEY,
    "GET /models/{model...}": WITH_KEY,
    "GET /v1/model/info": WITH_KEY,
    "GET /model/info": WITH_KEY,
    "GET /router/info": {"master"},
    "POST /router/reload": {"master"},
    "POST /config/reload": {"master"},
    "POST /config/rollback": {"master"},
    "GET /config/sync/status": {"master"},
    "POST /key/generate": MAKERS,
    "POST /key/update": MAKERS,
    "POST /key/delete": MAKERS,
    "POST /key/block": MAKERS,
    "POST /key/unblock": MAKERS,
    "POST /key/regenerate": MAKERS,
    "POST /key/{key}/regenerate": MAKERS,
    "POST /key/{key}/reset_spend": ADMINS,
    "GET /key/{key}/spend": WITH_KEY,
    "GET /key/info": WITH_KEY,
    "GET /key/list": WITH_KEY,
    "GET /key/aliases": WITH_KEY,
    "POST /key/health": WITH_KEY,
    "POST /team/new": ADMINS,
    "POST /team/update": ADMINS,
    "POST /team/delete": ADMINS,
    "POST /team/block": ADMINS,
    "POST /team/unblock": ADMINS,
    "POST /team/member_add": ADMINS | {"team_admin"},
    "POST /team/member_delete": ADMINS | {"team_admin"},
    "GET /team/info": WITH_KEY,
    "GET /team/list": WITH_KEY,
    "POST /user/new": ADMINS,
    "POST /user/update": ADMINS,
    "POST /user/delete": ADMINS,
    "GET /user/info": WITH_KEY,
    "GET /user/list": WATCHERS,
    "POST /organization/new": ADMINS,
    "PATCH /organization/update": ADMINS,
    "DELETE /organization/delete": ADMINS,
    "GET /organization/info": WATCHERS,
    "GET /organization/list": WATCHERS,
    "POST /budget/new": ADMINS,
    "POST /budget/update": ADMINS,
    "POST /budget/info": WATCHERS,
    "GET /budget/list": WATCHERS,
    "POST /budget/delete": ADMINS,
    "POST /budget/reconcile": ADMINS,
    "GET /spend/logs": WITH_KEY,
    "GET /spend/keys": WATCHERS,
    "GET /spend/users": WATCHERS,
    "GET /global/spend": WATCHERS,
    "GET /global/spend/report": WITH_KEY,
    "GET /audit": WATCHERS,
    "GET /audit/verify": WATCHERS,
    "GET /mcp/servers": WITH_KEY,
    "POST /mcp/servers": ADMINS,
    "GET /mcp/servers/{server_id}": WITH_KEY,
    "PUT /mcp/servers/{server_id}": ADMINS,
    "PATCH /mcp/servers/{server_id}": ADMINS,
    "DELETE /mcp/servers/{server_id}": ADMINS,
    "GET /mcp/servers/{server_id}/pins": WATCHERS,
    "POST /mcp/servers/{server_id}/pins/approve": ADMINS,
    "GET /mcp/tools": WITH_KEY,
    "POST /mcp/tools/call": MAKERS,
    "GET /mcp/resources": WITH_KEY,
    "GET /mcp/prompts": WITH_KEY,
    "GET /mcp/health": WITH_KEY,
    **{f"GET {path}": EVERYBODY for path in (*SIGN_IN, *METADATA, *CARDS)},
    "POST /mcp/oauth/start": EVERYBODY,
    "DELETE /mcp/oauth/tokens/{server_id}": MAKERS,
    **{
        f"{method} {path}": MAKERS
        for path in ("/mcp", "/mcp/", "/mcp/{server}", "/mcp/{server}/", "/{server}/mcp")
        for method in ("POST", "GET", "DELETE")
    },
    "GET /mcp/sse": MAKERS,
    "POST /mcp/messages": MAKERS,
    "GET /mcp/{server}/sse": MAKERS,
    "POST /mcp/{server}/messages": MAKERS,
    **{
        f"{method} {prefix}/files{end}": MAKERS
        for prefix in ("/v1", "", "/openai", "/openai/v1")
        for method, end in (
            ("POST", ""),
            ("GET", ""),
            ("GET", "/{file_id}"),
            ("DELETE", "/{file_id}"),
            ("GET", "/{file_id}/content"),
        )
    },
    **{
        f"{method} {prefix}/batches{end}": ADMINS if end.endswith(("pause", "resume")) else MAKERS
        for prefix in ("/v1", "", "/openai", "/openai/v1")
        for method, end in (
            ("POST", ""),
            ("GET", ""),
            ("GET", "/{batch_id}"),
            ("POST", "/{batch_id}/cancel"),
            ("POST", "/{batch_id}/pause"),
            ("POST", "/{batch_id}/resume"),
        )
    },
    **{
        f"{method} {prefix}/messages/batches{end}": MAKERS
        for prefix in ("/v1", "", "/anthropic/v1")
        for method, end in (
            ("POST", ""),
            ("GET", ""),
            ("GET", "/{batch_id}"),
            ("DELETE", "/{batch_id}"),
            ("POST", "/{batch_id}/cancel"),
            ("GET", "/{batch_id}/results"),
        )
    },
    "POST /a2a/push/{token}": EVERYBODY,
    "GET /a2a/tasks": WITH_KEY,
    "GET /a2a/push": ADMINS,
    "POST /a2a/agents:discover": ADMINS,
    **{f"GET {path}{end}": WITH_KEY for path in ("/a2a/agents", "/v1/agents") for end in ("", "/{agent_id}")},
    **{f"POST {path}": ADMINS for path in ("/a2a/agents", "/v1/agents")},
    **{
        f"{method} {path}/{{agent_id}}": ADMINS
        for path in ("/a2a/agents", "/v1/agents")
        for method in ("PUT", "PATCH", "DELETE")
    },
    "GET /a2a/agents/{agent_id}/card": WITH_KEY,
    **{
        f"GET {base}/{{agent_id}}/.well-known/{name}.json": WITH_KEY
        for base in ("/a2a/agents", "/a2a")
        for name in ("agent-card", "agent")
    },
    **{f"POST {base}/{{agent_id}}{end}": MAKERS for base in ("/a2a/agents", "/a2a") for end in ("", "/")},
    "POST /a2a/{agent_id}/message/send": MAKERS,
    "POST /a2a/{agent_id}/message/stream": MAKERS,
    "POST /v1/a2a/{agent_id}/message/send": MAKERS,
    **{
        f"{method} {base}/{{agent_id}}/{{path...}}": MAKERS
        for base in ("/a2a/agents", "/a2a")
        for method in ("GET", "POST", "DELETE")
    },
}
"""Written down a second time. What is not here calls models."""
SHAPES = ("chat", "completions", "responses", "embeddings", "images", "audio", "moderations", "rerank", "messages")
GOOGLE = (":generateContent", ":streamGenerateContent", ":countTokens")


def expected(route: Route) -> set[str]:
    name = f"{route.method} {route.path}"
    if name in EXPECTED:
        return EXPECTED[name]
    calls = route.path.startswith("/router/") or route.path.endswith(GOOGLE)
    assert calls or any(f"/{shape}" in route.path for shape in SHAPES), f"{name}: say here who may call it"
    return MAKERS


NOT_USED: tuple[Any, Any] = (None, None)


async def _greet(_serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    json_reply(exchange, "come in")


@pytest.mark.requirement("access.matrix")
@pytest.mark.parametrize("role", ROLES)
async def test_each_route_lets_in_those_roles_that_it_should_and_nobody_else(
    make_desk: Callable[..., Any], role: str
) -> None:
    desk = make_desk()
    key = await desk.key_of(role)
    guarded = [msgspec.structs.replace(route, handler=_greet) for route in ROUTES]
    desk.gateway = Gateway(desk.gateway.serving, Routes(guarded), EdgeSettings(), *NOT_USED)
    refusal = 401 if role == "none" else 403
    for route in ROUTES:
        path = re.sub(r"\{\w+(\.\.\.)?\}", "one", route.path.replace("{model...}", "house"))
        answered = await desk.call(route.method, path, key=key)
        assert answered.status == (200 if role in expected(route) else refusal), f"{route.method} {route.path}"


def test_each_handler_that_is_found_late_is_there() -> None:
    late = [route.handler.__qualname__.split(".") for route in ROUTES if "<locals>" not in route.handler.__qualname__]
    found = [name for name in late if len(name) == 2]
    assert len(found) > 40
    for module, name in found:
        assert callable(getattr(import_module(f"pointsman.edge.routes.{module}"), name))


def test_what_is_written_down_twice_is_all_there() -> None:
    assert set(EXPECTED) <= {f"{route.method} {route.path}" for route in ROUTES}


def test_a_route_has_to_say_what_it_is() -> None:
    route: Any = Route
    with pytest.raises(TypeError, match="access"):
        route("GET", "/new", _greet)


@pytest.mark.parametrize(
    ("allowed", "path", "status"),
    [
        (["llm_api_routes"], "/v1/models", 200),
        (["llm_api_routes"], "/key/info", 403),
        (["/key/info"], "/key/info", 200),
        (["/key/*"], "/v1/models", 403),
        (["management_routes", "/config/reload"], "/config/sync/status", 403),
        (["/config/*"], "/config/sync/status", 403),
    ],
)
async def test_allowed_routes_only_take_away(desk: Any, allowed: list[str], path: str, status: int) -> None:
    key = await desk.key(allowed_routes=allowed)
    assert (await desk.call("GET", path, key=key)).status == status
