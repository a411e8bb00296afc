"""Which of a request's tools are MCP servers of this gateway, and what the client wants of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from pointsman.errors import InvalidRequest

KIND: Final = "mcp"
OURS: Final = frozenset({"gateway", "pointsman", "litellm_proxy"})
"""What stands for this gateway in the place of an address."""
SUBSET: Final = "x-mcp-servers"
MOST_NAMES: Final = 1000


class Filter(msgspec.Struct, frozen=True):
    """Some of a server's tools."""

    names: frozenset[str] | None = None
    """``None``: whatever they are called."""
    is_read_only: bool | None = None
    """Whether they say that they change nothing; ``None``: it does not matter."""

    def has(self, names: Sequence[str], *, is_read_only: bool) -> bool:
        """Whether a tool with these names is among them."""
        if self.is_read_only is not None and self.is_read_only != is_read_only:
            return False
        return self.names is None or not self.names.isdisjoint(names)


ALL: Final = Filter()


class Approval(msgspec.Struct, frozen=True):
    """Which tools may be called without asking the user."""

    is_usual: bool = True
    """Whether those have to be approved that no filter is about."""
    always: Filter | None = None
    never: Filter | None = None

    def is_needed(self, names: Sequence[str], *, is_read_only: bool) -> bool:
        """Whether a call of a tool with these names has to be approved."""
        if self.always is not None and self.always.has(names, is_read_only=is_read_only):
            return True
        if self.never is not None and self.never.has(names, is_read_only=is_read_only):
            return False
        return self.is_usual


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One of the ``tools`` that is an MCP server, or several of this gateway's."""

    place: int
    """Among the tools."""
    label: str
    url: str | None = None
    """Of one that is not of this gateway."""
    path: str | None
    """Ids of servers with commas between; ``None``: all."""
    subset: str | None
    """The same, from a header."""
    headers: Mapping[bytes, bytes]
    """With lower-cased names: for servers that are configured to be shown them, and those elsewhere."""
    allowed: Filter
    approval: Approval


class Found(msgspec.Struct, frozen=True):
    """What a request's tools are."""

    ours: Sequence[Entry]
    foreign: Sequence[Entry]
    """Those that are elsewhere."""


def find(tools: Any, host: str) -> Found:
    """Look at the ``tools`` of a request that was sent to ``host``, a lower-cased ``Host``.

    :raises InvalidRequest: what is said of a server of this gateway cannot be understood
    """
    ours: list[Entry] = []
    foreign: list[Entry] = []
    for place, tool in enumerate(tools if isinstance(tools, list) else ()):
        if not isinstance(tool, dict) or tool.get("type") != KIND or not isinstance(tool.get("server_url"), str):
            continue
        param = f"tools[{place}]"
        where = servers_of(tool["server_url"], host, f"{param}.server_url")
        if where is None:
            foreign.append(_entry(tool, place, None, param, tool["server_url"]))
        else:
            ours.append(_entry(tool, place, where or None, param))
    both = [*ours, *foreign]
    labels = [one.label for one in both]
    for one in both:
        if labels.count(one.label) > 1:
            raise InvalidRequest(
                f"Two tools have the server_label {one.label[:100]!r}", param=f"tools[{one.place}].server_label"
            )
    return Found(ours, foreign)


def servers_of(url: str, host: str, param: str) -> str | None:
    """Which servers of this gateway an address is: ids, empty for all; ``None``: it is elsewhere.

    ``gateway/x`` and ``gateway/mcp/x`` are the same, ``litellm_proxy`` and ``pointsman`` mean the gateway too, and so
    does the address that the client has used itself.

    :raises InvalidRequest: it is an address here, but of no server
    """
    word, _, rest = url.strip().partition("/")
    if word not in OURS:
        try:
            split = urlsplit(url)
        except ValueError:
            return None
        if split.scheme not in ("http", "https") or not host or split.netloc.lower() != host:
            return None
        rest = split.path
        if "mcp" not in rest.split("/"):
            return None
    names = [name for name in rest.split("/") if name]
    if names[:1] == ["mcp"] or names[1:] == ["mcp"]:
        names.remove("mcp")
    if len(names) > 1:
        raise InvalidRequest(f"{url[:200]!r} is no MCP server here: write gateway/<server_id>", param=param)
    return "".join(names)


def _entry(tool: Mapping[str, Any], place: int, path: str | None, param: str, url: str | None = None) -> Entry:
    headers = tool.get("headers") or {}
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise InvalidRequest(f"Invalid '{param}.headers': expected an object of strings", param=f"{param}.headers")
    label = tool.get("server_label") or path or KIND
    if not isinstance(label, str):
        raise InvalidRequest(f"Invalid '{param}.server_label': expected a string", param=f"{param}.server_label")
    lowered = {name.lower(): value for name, value in headers.items()}
    token = tool.get("authorization")
    if url is not None and isinstance(token, str):
        lowered["authorization"] = f"Bearer {token}"
    return Entry(
        place=place,
        label=label,
        url=url,
        path=path,
        subset=lowered.get(SUBSET),
        headers={name.encode(): value.encode() for name, value in lowered.items()},
        allowed=_filter(tool.get("allowed_tools"), f"{param}.allowed_tools"),
        approval=_approval(tool.get("require_approval"), f"{param}.require_approval"),
    )


def _filter(value: Any, param: str) -> Filter:
    """:raises InvalidRequest: it is none"""
    if value is None:
        return ALL
    is_read_only = None
    if isinstance(value, dict):
        is_read_only = value.get("read_only")
        value = value.get("tool_names")
    is_names = isinstance(value, list) and len(value) <= MOST_NAMES and all(isinstance(one, str) for one in value)
    if not (value is None or is_names) or not (is_read_only is None or isinstance(is_read_only, bool)):
        raise InvalidRequest(f"Invalid '{param}': expected names, or tool_names and read_only", param=param)
    return Filter(None if value is None else frozenset(value), is_read_only)


def _approval(value: Any, param: str) -> Approval:
    if value is None or value == "always":
        return Approval()
    if value == "never":
        return Approval(is_usual=False)
    if not isinstance(value, dict):
        raise InvalidRequest(f"Invalid '{param}': expected always, never, or an object of both", param=param)
    always, never = value.get("always"), value.get("never")
    return Approval(
        always=None if always is None else _filter(always, f"{param}.always"),
        never=None if never is None else _filter(never, f"{param}.never"),
    )
