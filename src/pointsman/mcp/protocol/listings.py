"""Lists of tools, prompts, resources and templates: read from servers, and written for clients.

Each element stays the bytes that the server has sent; only its name is looked at, and put another in its place where
names of several servers stand together. An element that would make a client refuse the whole list is set aside with
the reason, and the others stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from pointsman.mcp.protocol.lint import concealed, faults
from pointsman.mcp.protocol.mirrors import mirrors_of
from pointsman.wire.jsonrpc import NONE, RpcError

MAX_KEY: Final = 2000
"""Characters of a name or a URI."""
MAX_TTL_MS: Final = 86_400_000
"""A list that is never read again would hide whatever becomes of its server."""
REPLACED: Final = "\ufffd"
BROKEN: Final = -32603


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What is listed."""

    method: str
    member: str
    """Of the result, which holds the elements."""
    key: str
    """Member of an element by which it is asked for."""
    capability: str
    changed: str
    """The notification that the list is another one."""


TOOLS: Final = Kind(
    method="tools/list",
    member="tools",
    key="name",
    capability="tools",
    changed="notifications/tools/list_changed",
)
PROMPTS: Final = Kind(
    method="prompts/list",
    member="prompts",
    key="name",
    capability="prompts",
    changed="notifications/prompts/list_changed",
)
RESOURCES: Final = Kind(
    method="resources/list",
    member="resources",
    key="uri",
    capability="resources",
    changed="notifications/resources/list_changed",
)
TEMPLATES: Final = Kind(
    method="resources/templates/list",
    member="resourceTemplates",
    key="uriTemplate",
    capability="resources",
    changed=RESOURCES.changed,
)
KINDS: Final[Mapping[str, Kind]] = {kind.method: kind for kind in (TOOLS, PROMPTS, RESOURCES, TEMPLATES)}
"""By method."""


class Item(msgspec.Struct, frozen=True, gc=False):
    """One element."""

    key: str
    """What its server calls it."""
    raw: msgspec.Raw
    name: str = ""
    """Of a resource, beside its URI."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One result of a list method."""

    items: tuple[Item, ...] = ()
    faults: Mapping[str, str] = {}
    """Why elements were set aside, by their name, or by ``#`` and their place where they have none."""
    cursor: str | None = None
    """Where the list goes on."""
    ttl_ms: int | None = None
    is_public: bool = False
    """Whether everybody who asks is told the same."""
    meta: msgspec.Raw = NONE


class _Result(msgspec.Struct):
    nextCursor: Any = None  # noqa: N815  as it is written
    ttlMs: Any = None  # noqa: N815
    cacheScope: Any = None  # noqa: N815
    meta: msgspec.Raw = msgspec.field(default=NONE, name="_meta")


def read_page(kind: Kind, result: msgspec.Raw) -> Page:
    """What a server has answered.

    :raises RpcError: that is no list
    """
    try:
        members = msgspec.json.decode(result, type=dict[str, msgspec.Raw])
        elements = msgspec.json.decode(members[kind.member], type=list[msgspec.Raw])
        rest = msgspec.json.decode(result, type=_Result)
    except (msgspec.MsgspecError, KeyError) as error:
        raise RpcError(BROKEN, f"The server's answer to {kind.method} is no list") from error
    items: dict[str, Item] = {}
    wrong: dict[str, str] = {}
    for place, raw in enumerate(elements):
        key, name, why = _look(kind, raw)
        if why is None and key in items:
            why = "there is another one of this name"
        if why is None:
            items[key] = Item(key, raw.copy(), name)
        else:
            wrong[f"#{place}" if key == "" or key in items else key] = why
    return Page(
        items=tuple(items.values()),
        faults=wrong,
        cursor=rest.nextCursor if isinstance(rest.nextCursor, str) else None,
        ttl_ms=_milliseconds(rest.ttlMs),
        is_public=rest.cacheScope == "public",
        meta=rest.meta.copy() if rest.meta else NONE,
    )


def _milliseconds(value: Any) -> int | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(min(value, MAX_TTL_MS)) if is_number and value >= 0 else None


def _look(kind: Kind, raw: msgspec.Raw) -> tuple[str, str, str | None]:
    """By what an element is asked for, what it is called beside that, and what is wrong with it."""
    try:
        found = msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return "", "", "it is no object"
    key = found.get(kind.key)
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY:
        return "", "", f"its {kind.key!r} is no text, or too long"
    if REPLACED in key:
        # Nobody knows what its server calls it.
        return "", "", f"its {kind.key!r} is no Unicode"
    why = _CHECKS[kind.method](found)
    return key, "" if why or kind.key == "name" else found["name"], why


def _tool_fault(tool: Mapping[str, Any]) -> str | None:
    found = faults(tool)
    if found:
        return found[0]
    try:
        mirrors_of(tool["inputSchema"])
    except ValueError as error:
        return str(error)
    return _text_fault(tool, "title")


def _prompt_fault(prompt: Mapping[str, Any]) -> str | None:
    arguments = prompt.get("arguments")
    are_named = isinstance(arguments, list) and all(
        isinstance(one, dict) and isinstance(one.get("name"), str) for one in arguments
    )
    if arguments is not None and not are_named:
        return "its 'arguments' are no list of objects with names"
    return _text_fault(prompt, "description", "title") or concealed(prompt)


def _resource_fault(resource: Mapping[str, Any]) -> str | None:
    if not isinstance(resource.get("name"), str):
        return "its 'name' is no text"
    return _text_fault(resource, "description", "title", "mimeType") or concealed(resource)


def _text_fault(found: Mapping[str, Any], *names: str) -> str | None:
    for name in names:
        if not isinstance(found.get(name, ""), str | None):
            return f"its {name!r} is no text"
    return None


_CHECKS: Final[Mapping[str, Callable[[Mapping[str, Any]], str | None]]] = {
    TOOLS.method: _tool_fault,
    PROMPTS.method: _prompt_fault,
    RESOURCES.method: _resource_fault,
    TEMPLATES.method: _resource_fault,
}


def renamed(item: Item, kind: Kind, public: str) -> msgspec.Raw:
    """The element under another name; its own is left in ``_meta`` where it cannot be read from the other."""
    if public == item.key:
        return item.raw
    members: dict[str, Any] = msgspec.json.decode(item.raw, type=dict[str, msgspec.Raw])
    members[kind.key] = public
    if not public.endswith(item.key):
        try:
            meta = msgspec.json.decode(members.get("_meta", b"{}"), type=dict[str, msgspec.Raw])
        except msgspec.ValidationError:
            meta = {}
        members["_meta"] = meta | {"pointsman/name": item.key}
    return msgspec.Raw(msgspec.json.encode(members))


def write_list(kind: Kind, elements: Iterable[msgspec.Raw], more: Mapping[str, Any]) -> msgspec.Raw:
    """The result of a list method; ``more`` are its other members."""
    rest = msgspec.json.encode(more)
    start = b'{"' + kind.member.encode() + b'":[' + b",".join(map(bytes, elements)) + b"]"
    return msgspec.Raw(start + (b"}" if rest == b"{}" else b"," + rest[1:]))


def merged(capabilities: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What several servers can do together: what any of them can."""
    found: dict[str, Any] = {}
    for one in capabilities:
        for name, value in one.items():
            there = found.get(name)
            if isinstance(there, dict) and isinstance(value, Mapping):
                found[name] = merged((there, value))
            elif there is None or there is False:
                found[name] = dict(value) if isinstance(value, Mapping) else value
    return found
