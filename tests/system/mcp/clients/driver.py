"""What the conformance suite runs as a client: it registers the suite's server at a gateway and uses it through that.

Runs in the environment of the SDK 2.x. The last argument is the address of the suite's server; the gateway and its key
stand in the environment, and so does what the suite tells of the scenario.
"""

# mypy: ignore-errors
# Its SDK is not in the environment that is checked.

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import sys
from pathlib import Path
from urllib.parse import urljoin
from uuid import uuid4

# The suite starts all scenarios at once, and the SDK alone takes a second to import: one after the other is faster.
turn = Path(os.environ["POINTSMAN_TURNS"]).open("a")  # noqa: SIM115  held to the end
fcntl.flock(turn, fcntl.LOCK_EX)

import httpx2  # noqa: E402
from mcp import types  # noqa: E402
from mcp.client.client import Client  # noqa: E402
from mcp.client.streamable_http import streamable_http_client  # noqa: E402
from mcp.shared.exceptions import MCPError  # noqa: E402

GATEWAY, KEY = os.environ["POINTSMAN_URL"], os.environ["POINTSMAN_KEY"]
SCENARIO = os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
CONTEXT = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
MODE = "auto" if os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", "") >= "2026" else "legacy"
LINK = re.compile(r"https?://[^\s\"'<>\\]+/mcp/oauth/[^\s\"'<>\\]+")
SECONDS = 20.0
MAX_SIGN_INS = 4
EXAMPLES = {"string": "x", "integer": 0, "number": 0, "boolean": False, "object": {}, "array": [], "null": None}
CALLS = {
    "elicitation-sep1034-client-defaults": ["test_client_elicitation_defaults"],
    "sse-retry": ["test_reconnection"],
    "sep-2322-client-request-state": [
        "test_mrtr_echo_state",
        "test_mrtr_unrelated",
        "test_mrtr_no_state",
        "test_mrtr_no_result_type",
    ],
}


async def elicit(context, params) -> types.ElicitResult:
    """Accept, with what the schema proposes; or open the page that is named."""
    if params.mode == "url":
        await follow(params.url)
        return types.ElicitResult(action="accept")
    properties = params.requested_schema.get("properties", {})
    content = {name: schema["default"] for name, schema in properties.items() if "default" in schema}
    return types.ElicitResult(action="accept", content=content or {"confirmed": True})


async def sample(context, params) -> types.CreateMessageResult:
    return types.CreateMessageResult(role="assistant", content=types.TextContent(type="text", text=""), model="none")


async def roots(context) -> types.ListRootsResult:
    return types.ListRootsResult(roots=[])


async def register(http: httpx2.AsyncClient, url: str) -> str:
    """The id of the suite's server at the gateway."""
    name = f"suite-{uuid4().hex[:12]}"
    body = {"server_id": name, "name": name, "url": url, "transport": "streamable_http"}
    if SCENARIO.startswith("auth/"):
        body["auth_type"] = "oauth2"
        told = {key: CONTEXT[key] for key in ("client_id", "client_secret") if key in CONTEXT}
        is_own = SCENARIO.startswith("auth/client-credentials")
        body["auth"] = told | {"grant": "client_credentials" if is_own else "authorization_code"}
    reply = await http.post("/mcp/servers", json=body)
    reply.raise_for_status()
    return name


async def sign_in(error: MCPError) -> bool:
    """Do what a user does with the link in a failure; whether there was one."""
    found = LINK.search(f"{error.error.message} {json.dumps(error.error.data)}")
    if found is not None:
        await follow(found[0])
    return found is not None


async def follow(url: str) -> None:
    """Go where a browser would be sent: to the authorization server, and back to the gateway."""
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx2.AsyncClient(headers=headers) as own, httpx2.AsyncClient() as other:
        while True:
            # The key, and the cookie that comes first, are for the gateway only.
            reply = await (own if url.startswith(GATEWAY) else other).get(url, follow_redirects=False)
            if not reply.is_redirect:
                reply.raise_for_status()
                return
            url = urljoin(url, reply.headers["location"])


async def use(client: Client) -> None:
    """Everything that a scenario wants to see."""
    tools = await listed(client)
    names = [tool.name for tool in tools]
    if SCENARIO == "json-schema-2020-12-preservation":
        focal = next(tool for tool in tools if tool.name == "json_schema_2020_12_tool")
        await client.call_tool("json_schema_echo", {"schema": focal.input_schema})
    elif SCENARIO in CALLS:
        for name in CALLS[SCENARIO]:
            await client.call_tool(name, {})
    elif "add_numbers" in names:
        await client.call_tool("add_numbers", {"a": 5, "b": 3})
    elif SCENARIO == "http-custom-headers":
        for call in CONTEXT["toolCalls"]:
            await attempt(client.call_tool(call["name"], call.get("arguments") or {}))
    else:
        for tool in tools:
            await attempt(client.call_tool(tool.name, wanted(tool.input_schema)))
    if SCENARIO == "http-standard-headers":
        await read_on(client)


async def read_on(client: Client) -> None:
    """A resource and a prompt."""
    for resource in (await client.list_resources()).resources[:1]:
        await client.read_resource(resource.uri)
    for prompt in (await client.list_prompts()).prompts[:1]:
        await client.get_prompt(prompt.name)


async def listed(client: Client) -> list[types.Tool]:
    """Of some scenarios the server has none, and says so."""
    if client.server_capabilities.tools is None:
        return []
    return (await client.list_tools()).tools


async def attempt(call) -> None:
    """A call that may be refused; but not for want of a sign-in."""
    try:
        await call
    except MCPError as error:
        if LINK.search(f"{error.error.message} {json.dumps(error.error.data)}"):
            raise


def wanted(schema: dict) -> dict:
    properties = schema.get("properties", {})
    return {name: EXAMPLES.get(properties.get(name, {}).get("type"), "x") for name in schema.get("required", [])}


async def session(url: str) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=SECONDS) as http,
        Client(
            streamable_http_client(url, http_client=http),
            mode=MODE,
            elicitation_callback=elicit,
            sampling_callback=sample,
            list_roots_callback=roots,
        ) as client,
    ):
        await use(client)


def failure(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def main() -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx2.AsyncClient(base_url=GATEWAY, headers=headers, timeout=SECONDS) as http:
        name = await register(http, sys.argv[-1])
        try:
            await sessions(f"{GATEWAY}/mcp/{name}")
        finally:
            # The suite's server waits until nobody is connected to it.
            await http.delete(f"/mcp/servers/{name}")


async def sessions(url: str) -> None:
    """Use it, and sign in whenever that is wanted."""
    for _ in range(MAX_SIGN_INS):
        try:
            await session(url)
        except Exception as error:  # noqa: BLE001  the SDK wraps them in groups
            found = failure(error)
            if not isinstance(found, MCPError) or not await sign_in(found):
                raise found from None
        else:
            return
    raise SystemExit("signing in does not help")


asyncio.run(main())
