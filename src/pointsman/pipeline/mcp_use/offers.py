"""What MCP servers have, as functions that a model can be offered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.mcp.protocol.names import SEPARATOR
from pointsman.pipeline.mcp_use.entries import Entry

NOBODY: Final = ""
"""Stands in the place of a server's id for a tool that there is not."""
NO_ARGUMENTS: Final[Mapping[str, Any]] = {"type": "object", "properties": {}}


class Definition(msgspec.Struct):
    """Of a tool, as its server has it; what is of no concern to a model is left out."""

    name: str = ""
    description: str | None = None
    inputSchema: dict[str, Any] | None = None  # noqa: N815  as it is written
    annotations: dict[str, Any] | None = None

    @property
    def is_read_only(self) -> bool:
        """Whether it says that it changes nothing."""
        return self.annotations is not None and self.annotations.get("readOnlyHint") is True


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A tool of a server that a model may call."""

    label: str
    server: str | None
    """Id; ``None``: the name itself tells; :data:`NOBODY`: the model has made it up."""
    name: str
    """As its server has it."""
    public: str
    """What the model calls it."""
    definition: Definition
    is_approved: bool
    """Whether it may be called without asking the user."""
    headers: Mapping[bytes, bytes] = {}
    """Of the client's tool."""


class Offers:
    """All that a model is offered for one request."""

    def __init__(self, entries: Sequence[Entry], offers: Iterable[Offer]) -> None:
        """Of two with one name the first counts: two entries may be about the same server."""
        self.entries = entries
        self._by_name: dict[str, Offer] = {}
        self._own: set[str] = set()
        for one in offers:
            self._by_name.setdefault(one.public, one)
        self._prefixes = {name.partition(SEPARATOR)[0] for name in self._by_name if SEPARATOR in name}

    def __iter__(self) -> Iterator[Offer]:
        return iter(self._by_name.values())

    def of(self, name: Any) -> Offer | None:
        """The one that a model calls so; one of :data:`NOBODY` where it looks like those of a server."""
        if not isinstance(name, str):
            return None
        found = self._by_name.get(name)
        if found is None and name not in self._own and name.partition(SEPARATOR)[0] in self._prefixes:
            return Offer(
                label=self.entries[0].label,
                server=NOBODY,
                name=name,
                public=name,
                definition=Definition(),
                is_approved=True,
            )
        return found

    def under(self, label: str) -> list[Offer]:
        """Those of one entry."""
        return [one for one in self._by_name.values() if one.label == label]

    def named(self, label: str, name: str) -> Offer | None:
        """The one of an entry that its server, or a client, calls so."""
        return next((one for one in self.under(label) if name in (one.name, one.public)), None)

    def set_apart(self, names: Iterable[Any]) -> None:
        """These are functions of the client's own.

        :raises InvalidRequest: one has the name of one of these
        """
        self._own = {name for name in names if isinstance(name, str)}
        for name in self._own:
            if name in self._by_name:
                raise InvalidRequest(f"A function has the name of a tool of an MCP server: {name}", param="tools")


def offer(entry: Entry, server: str | None, name: str, public: str, raw: bytes | msgspec.Raw) -> Offer | None:
    """A tool as the client wants it offered; ``None``: it does not want it, or nobody could call it."""
    try:
        definition = msgspec.json.decode(raw, type=Definition)
    except msgspec.MsgspecError:
        return None
    names, is_read_only = (name, public), definition.is_read_only
    if not entry.allowed.has(names, is_read_only=is_read_only):
        return None
    return Offer(
        label=entry.label,
        server=server,
        name=name,
        public=public,
        definition=definition,
        is_approved=not entry.approval.is_needed(names, is_read_only=is_read_only),
        headers=entry.headers,
    )


def schema_of(one: Offer) -> Mapping[str, Any]:
    """Of its arguments: providers insist on an object with properties."""
    schema = one.definition.inputSchema
    if schema is None:
        return NO_ARGUMENTS
    return schema if "properties" in schema else {**schema, "type": "object", "properties": {}}


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A call that a model has made."""

    id: str
    offer: Offer
    arguments: str
    """JSON text, as the model has written it."""
    approval: str | None = None
    """Id of the request for it, where the user was asked."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What has come of it."""

    wanted: Wanted
    text: str
    is_error: bool = False


def wanted_of(one: Offer, call_id: Any, arguments: Any, approval: str | None = None) -> Wanted:
    """A call as a provider has told it, some of which give the arguments as an object, or none."""
    if not isinstance(arguments, str):
        arguments = msgspec.json.encode(arguments or {}).decode()
    return Wanted(id=str(call_id or ""), offer=one, arguments=arguments or "{}", approval=approval)
