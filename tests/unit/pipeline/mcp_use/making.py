"""What a request with MCP servers is made of, in tests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pointsman.pipeline.mcp_use.entries import Entry, find
from pointsman.pipeline.mcp_use.offers import Done, Offer, Offers, offer

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}}


def tool(url: str = "gateway/depot", label: str = "d", **more: Any) -> dict[str, Any]:
    """One of a request's tools that is an MCP server, whose tools need nobody's approval."""
    return {"type": "mcp", "server_label": label, "server_url": url, "require_approval": "never"} | more


def entries(*tools: Mapping[str, Any]) -> list[Entry]:
    """Those of a request with these tools."""
    return list(find(list(tools), "").ours)


def offered(entry: Entry, name: str = "echo", **definition: Any) -> Offer:
    """A tool of the server ``depot``."""
    raw = json.dumps({"name": name, "description": f"It can {name}", "inputSchema": SCHEMA, **definition}).encode()
    found = offer(entry, "depot", name, f"depot__{name}", raw)
    assert found is not None
    return found


def offers(*tools: Mapping[str, Any], names: Iterable[str] = ("echo", "clock")) -> Offers:
    """What a model is offered of ``depot``, for a request with these tools; all is under the first of them."""
    found = entries(*(tools or (tool(),)))
    return Offers(found, [offered(found[0], name) for name in names])


def answered(form: Any, *texts: str) -> None:
    """Have what a form wants called answered with these texts."""
    wanted = form.turn()
    form.calling(wanted)
    form.called([Done(wanted=one, text=text) for one, text in zip(wanted, texts, strict=True)])


def events(data: bytes) -> list[dict[str, Any]]:
    """The events of a stream; ``[DONE]`` is one without members."""
    found = []
    for block in data.decode().split("\n\n"):
        text = "".join(line[6:] for line in block.split("\n") if line.startswith("data: "))
        if text:
            found.append({} if text == "[DONE]" else json.loads(text))
    return found


def stream(*values: Any) -> bytes:
    """A stream of these events."""
    return b"".join(b"data: %b\n\n" % json.dumps(value).encode() for value in values)
