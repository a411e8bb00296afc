"""Which MCP servers, which of their tools, and which agents somebody may use.

Of a key, its maker, its team and its organization each may say something; whatever several of them say has to be
allowed by all. Who is told nothing by anybody may use only what is for all keys. What is blocked stays blocked, whoever
allows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

import msgspec

from pointsman.access.keys import ObjectPermission

ALL: Final = frozenset({"*", "all-proxy-mcpservers", "all-proxy-agents"})
"""Names that stand for every server, and every agent."""
NONE: Final = frozenset({"no-mcp-servers", "no-agents"})
"""Names that stand for none, not even those that are for all keys, whatever else is named."""


class Layer(msgspec.Struct, frozen=True, gc=False):
    """What one of them allows, of servers or of agents."""

    names: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    parts: Mapping[str, tuple[str, ...]] = {}
    """By name, what of it: tools of a server, operations of an agent."""
    has_all: bool = False
    has_none: bool = False

    def has(self, name: str, groups: Iterable[str]) -> bool:
        """Whether one, which belongs to ``groups``, may be used."""
        return self.has_all or name in self.names or name in self.parts or not self.groups.isdisjoint(groups)

    def allows(self, name: str, part: str) -> bool:
        """Whether a part of one that may be used may be so too."""
        allowed = self.parts.get(name)
        return allowed is None or is_any(allowed, part)

    def covers(self, wanted: Layer) -> bool:
        """Whether nothing is in ``wanted`` that is not in this one, as far as names tell."""
        if wanted.has_none or self.has_none:
            return wanted.has_none
        if not self.has_all and (wanted.has_all or not wanted.groups <= self.groups):
            return False
        named = wanted.names | wanted.parts.keys()
        if not (self.has_all or named <= self.names | self.parts.keys()):
            return False
        # A group, or all of them, may hold one of which only some parts are allowed.
        reached = self.parts.keys() if wanted.has_all or wanted.groups else named & self.parts.keys()
        return all(
            name in wanted.parts and all(is_any(self.parts[name], part) for part in wanted.parts[name])
            for name in reached
        )


NOTHING: Final = Layer()


class Reach(msgspec.Struct, frozen=True, gc=False):
    """What all of them allow together, of servers or of agents."""

    layers: tuple[Layer, ...] = ()
    """None: nobody has said anything."""

    @property
    def has_none(self) -> bool:
        """Whether none may be used, not even one that is for all."""
        return any(layer.has_none for layer in self.layers)

    def has(self, name: str, groups: Iterable[str]) -> bool:
        """Whether one may be used, which is not for all."""
        return bool(self.layers) and not self.has_none and all(layer.has(name, groups) for layer in self.layers)

    def allows(self, name: str, part: str) -> bool:
        """Whether a part may be used, of one that may be."""
        return all(layer.allows(name, part) for layer in self.layers)

    def reaches(self, wanted: Layer | None, own: Layer | None) -> bool:
        """Whether somebody with these, of which ``own`` stand in his own row, may grant what is wanted."""
        if wanted is None:
            return own is None
        return bool(self.layers) and all(mine.covers(wanted) for mine in self.layers)


class Grants(Reach, frozen=True, gc=False):
    """The same of servers, and of agents too."""

    blocked: tuple[str, ...] = ()
    agents: Reach = Reach()

    def allows(self, name: str, part: str) -> bool:
        """Whether a tool may be used, of a server that may be."""
        return not self.blocks(name, part) and Reach.allows(self, name, part)

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
        are_servers_covered = self.reaches(_servers_of(wanted), _servers_of(own))
        return are_servers_covered and self.agents.reaches(_agents_of(wanted), _agents_of(own))


NO_GRANTS: Final = Grants()


def grants_of(
    rows: Iterable[ObjectPermission | None], *, is_within: bool = False, are_agents_within: bool = False
) -> Grants:
    """What these allow together.

    With ``is_within`` there is a maker, who may have none of the servers that nobody speaks of; with
    ``are_agents_within`` none of the agents.
    """
    said = tuple(row for row in rows if row is not None)
    blocked = tuple(dict.fromkeys(name for row in said for name in row.blocked_tools or ()))
    servers = tuple(layer for row in said if (layer := _servers_of(row)) is not None)
    agents = tuple(layer for row in said if (layer := _agents_of(row)) is not None)
    if is_within:
        servers = (*servers, NOTHING)
    if are_agents_within:
        agents = (*agents, NOTHING)
    return Grants(servers, blocked, Reach(agents)) if servers or blocked or agents else NO_GRANTS


@lru_cache(maxsize=4096)
def _shared(names: tuple[str, ...], groups: tuple[str, ...], parts: tuple[tuple[str, tuple[str, ...]], ...]) -> Layer:
    """One for all who may use the same."""
    return Layer(
        names=frozenset(names) - ALL,
        groups=frozenset(groups),
        parts=dict(parts),
        has_all=not ALL.isdisjoint(names),
        has_none=not NONE.isdisjoint(names),
    )


def _servers_of(row: ObjectPermission | None) -> Layer | None:
    """``None``: nothing is said of servers."""
    if row is None or not row.has_grants:
        return None
    tools = tuple((row.mcp_tool_permissions or {}).items())
    return _shared(row.mcp_servers or (), row.mcp_access_groups or (), tools)


def _agents_of(row: ObjectPermission | None) -> Layer | None:
    """``None``: nothing is said of agents."""
    if row is None or not row.has_agents:
        return None
    operations = tuple((row.agent_operations or {}).items())
    return _shared(row.agents or (), row.agent_access_groups or (), operations)


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
