from __future__ import annotations

from typing import Any

import msgspec
import pytest
from unit.mcp.pretending import caller, server, tool

from pointsman.mcp import views as views_of
from pointsman.mcp.catalog import Listing
from pointsman.mcp.protocol.listings import RESOURCES, TEMPLATES, TOOLS, Item, Kind, read_page
from pointsman.mcp.protocol.names import Owner
from pointsman.mcp.settings import ServerSettings
from pointsman.mcp.views import View, Views, is_shown, owner_of_resource
from pointsman.wire.jsonrpc import raw

Known = tuple[ServerSettings, Listing | None]


def listing(*elements: Any, kind: Kind = TOOLS) -> Listing:
    page = read_page(kind, raw({kind.member: list(elements)}))
    return Listing(page=page, items={item.key: item for item in page.items}, read_at=0.0, ttl=60.0)


def resource(uri: str) -> dict[str, str]:
    return {"uri": uri, "name": uri}


def view_of(*known: Known, kind: Kind = TOOLS) -> View:
    return View(kind, [(one, None if found is None else found.page.items) for one, found in known])


def test_names_tell_the_server() -> None:
    view = view_of((server("a"), listing(tool("x"))), (server("b", prefix="bee"), listing(tool("x"))))
    assert [row.public for row in view.rows] == ["a__x", "bee__x"]
    assert [msgspec.json.decode(row.raw)["name"] for row in view.rows] == ["a__x", "bee__x"]


def test_an_operator_can_give_a_tool_another_name() -> None:
    view = view_of((server("a", renamed={"x": "better"}), listing(tool("x"), tool("y"))))
    assert [row.public for row in view.rows] == ["better", "a__y"]
    assert view.find("better", caller()) == Owner("a", "x")


def test_a_bare_name_is_understood_while_one_has_it_that_the_caller_may_call() -> None:
    view = view_of((server("a"), listing(tool("x"))), (server("b"), listing(tool("x"))))
    assert view.find("x", caller()) is None
    assert view.find("x", caller(parts={"a": ("x",), "b": ("y",)})) == Owner("a", "x")


def test_a_whole_name_is_understood_although_nobody_knows_what_the_server_has() -> None:
    assert view_of((server("a"), None)).find("a__x", caller()) == Owner("a", "x")


def test_uris_stay_unless_two_servers_have_the_same() -> None:
    view = view_of(
        (server("a"), listing(resource("x:1"), resource("x:2"), kind=RESOURCES)),
        (server("b"), listing(resource("x:1"), resource("ui://x"), kind=RESOURCES)),
        (server("c"), listing(resource("ui://x"), kind=RESOURCES)),
        kind=RESOURCES,
    )
    assert [row.public for row in view.rows] == ["a+x:1", "x:2", "b+x:1", "ui://x", "ui://x"]


@pytest.mark.requirement("mcp.names")
def test_a_uri_that_looks_like_one_of_another_server_says_whose_it_is() -> None:
    view = view_of(
        (server("a"), listing(*map(resource, ("b+x:1", "A+x:1", "git+ssh://x")), kind=RESOURCES)),
        (server("b"), listing(resource("x:1"), kind=RESOURCES)),
        kind=RESOURCES,
    )
    assert [row.public for row in view.rows] == ["a+b+x:1", "a+A+x:1", "git+ssh://x", "x:1"]


def test_a_caller_sees_what_he_may_call() -> None:
    view = view_of((server("a", denied_tools=("y",)), listing(tool("x"), tool("y"), tool("z"))))
    assert [row.item.key for row in view.rows_for(caller())] == ["x", "z"]
    assert [row.item.key for row in view.rows_for(caller(parts={"a": ("z",)}))] == ["z"]


@pytest.mark.parametrize(("declared", "expected"), [((), True), (("x:1",), True), (("n",), True), (("m",), False)])
def test_resources_are_declared_by_address_or_name(declared: tuple[str, ...], expected: bool) -> None:
    item = Item("x:1", raw({}), "n")
    assert is_shown(RESOURCES, server("a", resources=declared), item, caller()) is expected


def test_a_view_is_kept_as_long_as_its_lists_are_the_same() -> None:
    views, settings, found = Views(), server("a"), listing(tool("x"))
    first = views.of(TOOLS, [(settings, found)])
    assert views.of(TOOLS, [(settings, found)]) is first
    assert views.of(TOOLS, [(settings, listing(tool("x")))]) is not first
    assert views.of(RESOURCES, [(settings, found)]) is not first


def test_views_together_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views_of, "MAX_ROWS", 5)
    views, known = Views(), [(server("a"), listing(tool("x"))) for _ in range(9)]
    for one in known:
        views.of(TOOLS, [one])
    assert len(views._views) == 2


TWO: list[Known] = [
    (server("a"), listing(*map(resource, ("x:1", "x:both", "b+stolen:1", "B+stolen:2")), kind=RESOURCES)),
    (server("b"), listing(resource("y:1"), resource("x:both"), kind=RESOURCES)),
]
WITH_TEMPLATES: list[Known] = [
    (server("a"), listing({"uriTemplate": "x:{id}/data", "name": "t"}, kind=TEMPLATES)),
    (server("b"), None),
]


@pytest.mark.parametrize(
    ("uri", "owner"),
    [
        ("x:1", Owner("a", "x:1")),
        ("y:1", Owner("b", "y:1")),
        ("x:both", Owner("a", "x:both")),
        ("b+x:both", Owner("b", "x:both")),
        ("b+anything:else", Owner("b", "anything:else")),
        ("x:77/data", Owner("a", "x:77/data")),
        ("y:unknown", Owner("b", "y:unknown")),
        ("x:unknown", None),
        ("z:1", None),
        ("", None),
        ("b+stolen:1", Owner("b", "stolen:1")),
        ("B+stolen:2", Owner("b", "stolen:2")),
    ],
)
def test_whose_an_address_is(uri: str, owner: Owner | None) -> None:
    assert owner_of_resource(uri, TWO, WITH_TEMPLATES) == owner


def test_where_only_one_has_resources_all_are_its() -> None:
    assert owner_of_resource("z:1", TWO[:1], []) == Owner("a", "z:1")
    assert owner_of_resource("z:1", [(server("a"), None)], []) is None
