"""Tool search on the aggregated endpoint: three tools that find, show and call all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from pointsman.mcp.base import Asking
from pointsman.mcp.protocol import search
from pointsman.mcp.protocol.listings import TOOLS, write_list
from pointsman.mcp.requests import LOOK_SECONDS, Ask, Requests, read
from pointsman.mcp.shelves import Shelves
from pointsman.mcp.views import Row, View
from pointsman.wire.jsonrpc import raw

LIST_TTL_MS: Final = 3_600_000
MAX_INDEXES: Final = 64


class _Search(msgspec.Struct):
    query: str
    limit: int = search.DEFAULT_LIMIT


class _Describe(msgspec.Struct):
    name: str


class _Call(msgspec.Struct):
    name: str
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class Searching:
    """Answers what is asked of the three tools."""

    def __init__(self, shelves: Shelves, requests: Requests) -> None:
        self._shelves = shelves
        self._requests = requests
        self._indexes: dict[tuple[int, tuple[str, ...]], tuple[search.Index, View]] = {}

    def tools(self, asking: Asking) -> msgspec.Raw:
        """The list of them."""
        times = {"ttlMs": LIST_TTL_MS, "cacheScope": "private"} if asking.client.era == "modern" else {}
        return write_list(TOOLS, [raw(tool) for tool in search.TOOLS], times)

    async def call(self, ask: Ask) -> msgspec.Raw:
        """The result of one of them; any other name is that of a tool, which may be called as well.

        :raises RpcError: there is no such tool, or what the called one raises
        :raises GatewayError: the same
        """
        wanted = read(ask.params, _Call)
        if wanted.name == search.SEARCH:
            return await self._search(ask, read(wanted.arguments, _Search))
        if wanted.name == search.DESCRIBE:
            return await self._describe(ask, read(wanted.arguments, _Describe).name)
        if wanted.name != search.CALL:
            return await self._requests.answer(ask)
        call = read(wanted.arguments, _Call)
        members = msgspec.json.decode(ask.params, type=dict[str, msgspec.Raw])
        params = raw(members | {"name": call.name, "arguments": call.arguments})
        return await self._requests.answer(msgspec.structs.replace(ask, params=params, is_inner=True))

    async def _search(self, ask: Ask, wanted: _Search) -> msgspec.Raw:
        view, rows = await self._rows(ask)
        names = tuple(rows)
        index = self._index(view, rows, names)
        found = [search.summary(name, _tool(rows[name])) for name in index.search(wanted.query, wanted.limit)]
        return _said({"tools": found})

    async def _describe(self, ask: Ask, name: str) -> msgspec.Raw:
        _, rows = await self._rows(ask)
        row = rows.get(name)
        if row is None:
            return raw({"content": [_text(f"Unknown tool: {name[:200]}")], "isError": True})
        return _said({"tool": row.raw})

    async def _rows(self, ask: Ask) -> tuple[View, dict[str, Row]]:
        shelves = await self._shelves.all(ask.servers, TOOLS, ask.client, ask.patience, at_least=LOOK_SECONDS)
        view = self._shelves.view(TOOLS, shelves)
        return view, {row.public: row for row in view.rows_for(ask.client.caller)}

    def _index(self, view: View, rows: Mapping[str, Row], names: tuple[str, ...]) -> search.Index:
        """That of what a caller may see, made once for all who may see the same."""
        key = (id(view), names)
        index, _ = self._indexes.pop(key, (None, None))
        if index is None:
            index = search.Index((name, _tool(row)) for name, row in rows.items())
            while len(self._indexes) >= MAX_INDEXES:
                del self._indexes[next(iter(self._indexes))]
        self._indexes[key] = (index, view)
        return index


def _tool(row: Row) -> dict[str, Any]:
    return msgspec.json.decode(row.item.raw, type=dict[str, Any])


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def _said(value: Mapping[str, Any]) -> msgspec.Raw:
    """As structure, and as text for those who do not look at it."""
    return raw({"content": [_text(msgspec.json.encode(value).decode())], "structuredContent": value})
