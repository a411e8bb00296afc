"""Which MCP servers, and which of their tools, somebody may use.

Of a key, its maker, its team and its organization each may say something; whatever several of them say has to be
allowed by all. Who is told nothing by anybody may use only the servers that are for all keys. What is blocked stays
blocked, whoever allows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

import msgspec

from pointsman.access.keys import ObjectPermission

ALL_SERVERS: Final = frozenset({"*", "all-proxy-mcpservers"})
"""Names that stand for every server."""
NO_SERVERS: Final = "no-mcp-servers"
"""Stands for none, not even those that are for all keys, whatever else is named."""


class Layer(msgspec.Struct, frozen=True, gc=False):
    """What one of them allows."""

    servers: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    tools: Mapping[str, tuple[str, ...]] = {}
    has_all: bool = False
    has_none: bool = False

    def has(self, server: str, groups: Iterable[str]) -> bool:
        """Whether a server, which belongs to ``groups``, may be used."""
        return self.has_all or server in self.servers or server in self.tools or not self.groups.isdisjoint(groups)

    def allows(self, server: str, tool: str) -> bool:
        """Whether a tool of a server that may be used may be so too."""
        allowed = self.tools.get(server)
        return allowed is None or is_any(allowed, tool)

    def covers(self, wanted: Layer) -> bool:
        """Whether nothing is in ``wanted`` that is not in this one, as far as names tell."""
        if wanted.has_none or self.has_none:
            return wanted.has_none
        if not self.has_all and (wanted.has_all or not wanted.groups <= self.groups):
            return False
        named = wanted.servers | wanted.tools.keys()
        if not (self.has_all or named <= self.servers | self.tools.keys()):
            return False
        # A group, or all of them, may hold a server of which only some tools are allowed.
        reached = self.tools.keys() if wanted.has_all or wanted.groups else named & self.tools.keys()
        return all(
            server in wanted.tools and all(is_any(self.tools[server], tool) for tool in wanted.tools[server])
            for server in reached
        )


NOTHING: Final = Layer()


class Grants(msgspec.Struct, frozen=True, gc=False):
    """What all of them allow together."""

    layers: tuple[Layer, ...] = ()
    """None: nobody has said anything."""
    blocked: tuple[str, ...] = ()

    @property
    def has_none(self) -> bool:
        """Whether no server may be used, not even one that is for all."""
        return any(layer.has_none for layer in self.layers)

    def has(self, server: str, groups: Iterable[str]) -> bool:
        """Whether a server may be used, which is not for all."""
        return bool(self.layers) and not self.has_none and all(layer.has(server, groups) for layer in self.layers)

    def allows(self, server: str, tool: str) -> bool:
        """Whether a tool may be used, of a server that may be."""
        return not self.blocks(server, tool) and all(layer.allows(server, tool) for layer in self.layers)

    def blocks(self, server: str, tool: str) -> bool:
        """Whether a tool is not to be used whatever allows it."""
        return bool(self.blocked) and (is_any(self.blocked, tool) or is_any(self.blocked, f"{server}__{tool}"))

    def covers(self, wanted: ObjectPermission | None, own: ObjectPermission | None) -> bool:
        """Whether somebody with these, of which ``own`` stand in his own row, may grant what is wanted."""
        if wanted == own:
            return True
        blocked = () if wanted is None or wanted.blocked_tools is None else wanted.blocked_tools
        if own is not None and own.blocked_tools is not None and not set(own.blocked_tools) <= set(blocked):
            return False
        if wanted is None or not wanted.has_grants:
            return own is None or not own.has_grants
        layer = _layer_of(wanted)
        return bool(self.layers) and all(mine.covers(layer) for mine in self.layers)


NO_GRANTS: Final = Grants()


def grants_of(rows: Iterable[ObjectPermission | None], *, is_within: bool = False) -> Grants:
    """What these allow together; with ``is_within`` there is a maker, who may have none of what nobody speaks of."""
    said = tuple(row for row in rows if row is not None)
    layers = tuple(_layer_of(row) for row in said if row.has_grants)
    blocked = tuple(dict.fromkeys(name for row in said for name in row.blocked_tools or ()))
    if not (layers or blocked or is_within):
        return NO_GRANTS
    return Grants((*layers, NOTHING) if is_within else layers, blocked)


@lru_cache(maxsize=4096)
def _shared(servers: tuple[str, ...], groups: tuple[str, ...], tools: tuple[tuple[str, tuple[str, ...]], ...]) -> Layer:
    return Layer(
        servers=frozenset(servers) - ALL_SERVERS,
        groups=frozenset(groups),
        tools=dict(tools),
        has_all=not ALL_SERVERS.isdisjoint(servers),
        has_none=NO_SERVERS in servers,
    )


def _layer_of(row: ObjectPermission) -> Layer:
    """One for all who may use the same."""
    tools = tuple((row.mcp_tool_permissions or {}).items())
    return _shared(row.mcp_servers or (), row.mcp_access_groups or (), tools)


def is_any(patterns: Iterable[str], name: str) -> bool:
    """Whether one of these, which may hold any number of ``*``, is ``name``."""
    return any(one == name or ("*" in one and _matches(one, name)) for one in patterns)


def _matches(pattern: str, name: str) -> bool:
    # In a time that grows with the name only: the patterns are somebody else's.
    first, *middle, last = pattern.split("*")
    at = len(first)
    if not name.startswith(first):
        return False
    for part in middle:
        at = name.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return len(name) - len(last) >= at and name.endswith(last)
