"""What several servers have, side by side: the lists as clients see them, and whose a name is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from pointsman.access.caller import Caller
from pointsman.access.grants import is_any
from pointsman.mcp.catalog import Listing
from pointsman.mcp.permissions import may_call, may_read
from pointsman.mcp.protocol.listings import TOOLS, Item, Kind, renamed
from pointsman.mcp.protocol.names import (
    Names,
    Owner,
    Source,
    is_taken,
    owner_of,
    qualified,
    scheme_of,
    taken_scheme,
)
from pointsman.mcp.settings import ServerSettings

MAX_ROWS: Final = 200_000
"""Of all views together."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """One element, as it is shown."""

    settings: ServerSettings
    item: Item
    public: str
    """What clients call it."""
    raw: msgspec.Raw


def is_shown(kind: Kind, settings: ServerSettings, item: Item, caller: Caller) -> bool:
    """Whether a caller is told of it, who may use the server."""
    if kind.capability == "resources":
        return may_read(caller, settings, item.key, item.name) is None
    return kind is not TOOLS or may_call(caller, settings, item.key) is None


class View:
    """One kind of things that some servers have, which are named after them."""

    def __init__(self, kind: Kind, known: Sequence[tuple[ServerSettings, Sequence[Item] | None]]) -> None:
        """``None``: nobody knows what it has."""
        self.kind = kind
        self.rows: list[Row] = []
        self._settings = {settings.id: settings for settings, _ in known}
        self._names = Names(_source(kind, settings, items) for settings, items in known if kind.key == "name")
        self._schemes = frozenset(map(scheme_of, self._settings))
        count = Counter(item.key for _, items in known for item in items or ())
        for settings, items in known:
            for item in items or ():
                public = self._public(settings, item, count)
                if public is not None:
                    self.rows.append(Row(settings, item, public, renamed(item, kind, public)))

    def rows_for(self, caller: Caller) -> list[Row]:
        """What a caller is told of, who may use all these servers."""
        return [row for row in self.rows if is_shown(self.kind, row.settings, row.item, caller)]

    def find(self, name: str, caller: Caller) -> Owner | None:
        """What a caller means by the name of a tool or a prompt."""

        def is_shown(owner: Owner) -> bool:
            return self.kind is not TOOLS or may_call(caller, self._settings[owner.server], owner.name) is None

        return self._names.find(name, is_shown)

    def _public(self, settings: ServerSettings, item: Item, count: Mapping[str, int]) -> str | None:
        if self.kind.key == "name":
            return self._names.name_of(settings.id, item.key)
        is_ambiguous = count[item.key] > 1 or taken_scheme(item.key) in self._schemes
        return qualified(settings.id, item.key) if is_ambiguous else item.key


def prefix_of(settings: ServerSettings) -> str:
    """What stands before the names of a server."""
    return settings.id if settings.prefix is None else settings.prefix


def _source(kind: Kind, settings: ServerSettings, items: Sequence[Item] | None) -> Source:
    return Source(
        server=settings.id,
        prefix=prefix_of(settings),
        names=[item.key for item in items or ()],
        renamed=settings.renamed if kind is TOOLS else {},
    )


class Views:
    """Views, kept as long as the lists are the same."""

    def __init__(self) -> None:
        self._views: dict[tuple[object, ...], tuple[View, object]] = {}
        self._rows = 0

    def of(self, kind: Kind, listings: Sequence[tuple[ServerSettings, Listing | None]]) -> View:
        """The view of these lists."""
        # By who they are: to compare what is in them would take as long as to make the view.
        key = (kind.method, *(id(one) for pair in listings for one in pair))
        view, lists = self._views.pop(key, (None, None))
        if view is None:
            known = [(settings, None if one is None else one.page.items) for settings, one in listings]
            view, lists = View(kind, known), tuple(listings)
            self._rows += 1 + len(view.rows)
            while self._views and self._rows > MAX_ROWS:
                self._rows -= 1 + len(self._views.pop(next(iter(self._views)))[0].rows)
        self._views[key] = (view, lists)
        return view


def owner_of_resource(
    uri: str,
    resources: Sequence[tuple[ServerSettings, Listing | None]],
    templates: Sequence[tuple[ServerSettings, Listing | None]],
) -> Owner | None:
    """Whose a URI is: the server's that it names, that lists it, or that has a template for it; the first of several.

    One that nobody knows is that server's which alone has resources, or alone such as are called alike.
    """
    servers = [settings.id for settings, _ in resources]
    if is_taken(uri, servers):
        return owner_of(uri, servers)
    for settings, listing in resources:
        if listing is not None and uri in listing.items:
            return Owner(settings.id, uri)
    for settings, listing in templates:
        if listing is not None and is_any(map(_pattern, listing.items), uri):
            return Owner(settings.id, uri)
    scheme = uri.partition(":")[0]
    every = [(settings.id, key) for settings, one in (*resources, *templates) if one for key in one.items]
    for ids in ({one for one, key in every if key.partition(":")[0] == scheme}, {one for one, _ in every}):
        if len(ids) == 1:
            return Owner(ids.pop(), uri)
    return None


def _pattern(template: str) -> str:
    """Of a URI template: each expression may stand for anything."""
    first, *rest = template.split("{")
    return first + "".join("*" + part.partition("}")[2] for part in rest)
