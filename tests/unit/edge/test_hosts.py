from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from pointsman.edge.context import Serving
from pointsman.edge.hosts import FOREIGN_CALL, FOREIGN_PAGE, check_agents, check_mcp, check_open, refuse_rebinding
from pointsman.errors import Forbidden, MisdirectedHost

Make = Callable[..., Serving]
HERE = {b"host": b"localhost:4000"}
THERE = {b"host": b"gw.example.com"}
PAGE = {b"origin": b"https://evil.example.com"}


@pytest.mark.parametrize("host", [b"localhost", b"LOCALHOST:1", b"127.0.0.1", b"127.9.9.9:80", b"[::1]:4000"])
def test_loopback_has_many_names(host: bytes) -> None:
    refuse_rebinding({b"host": host, b"origin": b"http://" + host}, FOREIGN_PAGE, is_any_host=False)


@pytest.mark.parametrize("host", [b"localhost.evil.com", b"127.0.0.1.evil.com", b"[::1].evil.com", b"1127.0.0.1", b""])
def test_names_that_look_like_loopback_are_none(host: bytes) -> None:
    with pytest.raises(MisdirectedHost):
        refuse_rebinding({b"host": host}, FOREIGN_PAGE, is_any_host=False)


def test_where_any_name_will_do_a_page_has_to_be_of_that_name() -> None:
    refuse_rebinding(THERE | {b"origin": b"https://GW.example.com"}, FOREIGN_PAGE, is_any_host=True)
    with pytest.raises(Forbidden):
        refuse_rebinding(THERE | PAGE, FOREIGN_PAGE, is_any_host=True)


async def test_an_open_gateway_answers_loopback_and_says_how_it_is_opened(make_serving: Make) -> None:
    serving = make_serving()
    check_open(serving, HERE, FOREIGN_CALL)
    with pytest.raises(MisdirectedHost, match="master_key"):
        check_open(serving, THERE, FOREIGN_CALL)
    with pytest.raises(MisdirectedHost, match="other origins"):
        check_open(serving, HERE | PAGE, FOREIGN_CALL)


def test_open_servers_answer_the_names_that_they_are_given() -> None:
    check_mcp(HERE, frozenset())
    check_mcp(THERE, frozenset({"gw.example.com"}))
    check_mcp({b"host": b"gw.example.com:8443"}, frozenset({"gw.example.com"}))
    check_mcp({b"host": b"gw.example.com:8443"}, frozenset({"gw.example.com:8443"}))
    for host in (b"gw.example.com", b"gw.example.com:80", b":8443"):
        with pytest.raises(MisdirectedHost):
            check_mcp({b"host": host}, frozenset({"gw.example.com:8443"}))
    with pytest.raises(MisdirectedHost, match=r"mcp\.allowed_hosts"):
        check_mcp(THERE, frozenset())


async def test_public_agents_answer_the_names_that_they_are_given(make_serving: Make) -> None:
    a2a: Any = SimpleNamespace(allowed_hosts=frozenset({"gw.example.com"}))
    serving = replace(make_serving(key="sk-1"), a2a=a2a)
    check_agents(serving, HERE)
    check_agents(serving, THERE)
    with pytest.raises(Forbidden):
        check_agents(serving, THERE | PAGE)
    with pytest.raises(MisdirectedHost, match=r"a2a\.public_url"):
        check_agents(serving, {b"host": b"evil.example.com"})
    check_agents(serving, {b"host": b"evil.example.com", b"authorization": b"Bearer sk-1"})


async def test_agents_of_an_open_gateway_are_as_open_as_it_is(make_serving: Make) -> None:
    check_agents(make_serving(), HERE)
    with pytest.raises(MisdirectedHost):
        check_agents(make_serving(), THERE)
    with pytest.raises(Forbidden):
        check_agents(make_serving(), HERE | PAGE)


async def test_without_agents_there_is_nothing_to_keep_out(make_serving: Make) -> None:
    check_agents(make_serving(key="sk-1"), THERE)
