"""An agent that can do little: what it cannot is refused as the protocol says, or done by the gateway if it may."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from system.a2a.asking import Asker, Binding, Version
from system.a2a.conftest import KINDS, a2a_config, registered
from system.a2a.running import running_agent
from system.conftest import MASTER_KEY
from system.process import Gateway

NOT_STREAMED = {-32004, "UNSUPPORTED_OPERATION"}
NOT_PUSHED = {-32003, "PUSH_NOTIFICATION_NOT_SUPPORTED"}
NOT_EXTENDED = {-32004, -32007, "UNSUPPORTED_OPERATION", "EXTENDED_AGENT_CARD_NOT_CONFIGURED"}


@pytest.fixture(scope="module")
def before_bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway before agents without any abilities, each of them twice: once it adds streams."""
    home = tmp_path_factory.mktemp("bare")
    with ExitStack() as stack:
        found = {
            kind: stack.enter_context(running_agent(kind, home, "--without", "streaming", "push", "extended"))
            for kind in KINDS
        }
        places = [registered(kind, agent) for kind, agent in found.items()]
        places += [registered(f"{kind}-streaming", agent, adds=["list", "streaming"]) for kind, agent in found.items()]
        with Gateway(home / "gateway", a2a_config(places)) as running:
            running.key = MASTER_KEY
            yield running


@pytest.mark.requirement("a2a.capabilities")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", ["1.0", "0.3"])
@pytest.mark.parametrize("binding", ["jsonrpc", "rest"])
def test_what_an_agent_cannot_do_is_refused_as_the_protocol_says(
    before_bare: Gateway, kind: str, version: Version, binding: Binding
) -> None:
    asker = Asker(before_bare, kind, version, binding)
    task = asker.ask("send", what="tck-input-required").task["id"]
    refused = {
        "stream": asker.ask("stream"),
        "subscribe": asker.ask("subscribe", task=task),
        "set_push": asker.ask("set_push", task=task),
        "extended_card": asker.ask("extended_card"),
    }
    assert all(heard.code is not None for heard in refused.values()), refused
    if (version, binding) != ("0.3", "rest"):
        # There errors have no codes.
        assert {refused["stream"].code, refused["subscribe"].code} <= NOT_STREAMED
        assert refused["set_push"].code in NOT_PUSHED
        assert refused["extended_card"].code in NOT_EXTENDED
    shown = before_bare.get(f"{asker.path}/card?version={version}").json
    assert not any(value is True for value in shown["capabilities"].values())


@pytest.mark.requirement("a2a.capabilities")
@pytest.mark.parametrize("kind", KINDS)
def test_streams_that_the_gateway_adds_have_one_event(before_bare: Gateway, kind: str) -> None:
    asker = Asker(before_bare, f"{kind}-streaming")
    events = asker.ask("stream").body
    assert [one["task"]["status"]["state"] for one in events] == ["TASK_STATE_COMPLETED"]
    assert before_bare.get(f"{asker.path}/card").json["capabilities"]["streaming"] is True
