from __future__ import annotations

import logging
from collections.abc import Mapping

from unit.mcp.peers import Wire, until

from pointsman.errors import UpstreamUnreachable
from pointsman.mcp.servers.errands import Errands
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.jsonrpc import Message, notification

NEWS = notification("a")


class Deaf(Wire):
    """A server that cannot be reached."""

    async def post(self, message: Message, *, headers: Mapping[str, str], deadline: float) -> None:
        raise UpstreamUnreachable


def wire(kind: type[Wire] = Wire) -> Wire:
    return kind(lambda *_: None)


async def test_what_has_no_answer_is_sent_now_or_later(tasks: Tasks) -> None:
    to = wire()
    errands = Errands(to, "a", tasks)
    await errands.post(NEWS, {})
    assert to.posts == [NEWS]
    errands.post_later(NEWS, {})
    assert to.posts == [NEWS]
    await until(lambda: len(to.posts) == 2)


async def test_a_server_that_cannot_be_told_holds_nobody_up(tasks: Tasks) -> None:
    await Errands(wire(Deaf), "a", tasks).post(NEWS, {})


async def test_what_is_too_much_is_left() -> None:
    to = wire()
    errands = Errands(to, "a", Tasks(logging.getLogger("test"), 0))
    errands.post_later(NEWS, {})
    assert errands.later(errands.post(NEWS, {}), "tell") is None
    assert to.posts == []


async def test_ids_are_used_once(tasks: Tasks) -> None:
    errands = Errands(wire(), "a", tasks)
    assert [errands.number() for _ in range(3)] == [1, 2, 3]
