from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from records import MemoryRecords

from pointsman.a2a.base import Call
from pointsman.a2a.protocol.operations import Operation
from pointsman.a2a.published.model import PublishedModel
from pointsman.a2a.published.runs import Run
from pointsman.a2a.push.hooks import Holder
from pointsman.a2a.settings import A2aSettings, AgentSettings, AuthSettings
from pointsman.access.caller import MASTER, NOBODY
from pointsman.access.keys import Key, Pepper, User, to_doc
from pointsman.access.settings import AccessSettings
from pointsman.assembly.a2a_models import Models
from pointsman.assembly.a2a_service import Service
from pointsman.errors import Forbidden, GatewayError, Overloaded, Unauthenticated
from pointsman.pipeline.known_keys import KnownKeys
from pointsman.store.base import Change
from pointsman.store.tasks import TaskRow
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.settings import UpstreamSettings
from pointsman.wire.jsonrpc import RpcError
from pointsman.wire.secret import Secret

AUTH = AuthSettings(kind="bearer_token", value=Secret("canary"))
AGENT = AgentSettings(
    id="a", name="a", url="http://127.0.0.1:1", health_check=False, auth=AUTH, binding="jsonrpc", protocol_version="1.0"
)
TASK = TaskRow(agent="a", id="t", owner="me", changed_at=1.0, first_at=1.0, last_at=1.0)


@pytest.fixture
async def service(rig: Any) -> AsyncIterator[Service]:
    made = Service(rig.site, lambda: None, Models(lambda: rig.assembly.current.serving.pipeline))
    made.configure(A2aSettings(agents=(AGENT,)), UpstreamSettings(), AccessSettings())
    made.start()
    rig.sweeper.start()
    yield made
    await made.close()
    rig.sweeper.stop()


def serve(service: Service, *agents: AgentSettings, **upstream: Any) -> None:
    service.configure(A2aSettings(agents=agents), UpstreamSettings(**upstream), AccessSettings())


async def send(service: Service) -> None:
    message = {"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hello"}]}}
    params = json.dumps(message).encode()
    await service.gateway.ask(Call(caller=MASTER, agent="a", operation=Operation.SEND, version="1.0", params=params))


async def test_only_agents_that_the_operator_has_named_are_in_private_networks(service: Service) -> None:
    for source in ("config", "api"):
        serve(service, msgspec.structs.replace(AGENT, source=source))
        with pytest.raises(GatewayError) as caught:
            async with asyncio.timeout(15):
                await send(service)
        assert ("no public address" in str(caught.value.operator_detail)) is (source == "api")


async def test_an_agent_stays_the_same_as_long_as_its_settings_and_the_ways_do(service: Service) -> None:
    def now() -> Any:
        with service._fleet.using(service.registry.entries["a"]) as agent:
            return agent

    before = now()
    serve(service, msgspec.structs.replace(AGENT))
    assert now() is before
    serve(service, msgspec.structs.replace(AGENT, timeout=1.0))
    other = now()
    assert other is not before
    serve(service, msgspec.structs.replace(AGENT, timeout=1.0), keepalive=1.0)
    assert now() is not other


async def test_as_many_connections_as_there_may_be_streams_can_be_to_one_agent(service: Service) -> None:
    usual = UpstreamSettings().max_connections_per_host
    service.configure(A2aSettings(max_streams=123_456), UpstreamSettings(), AccessSettings())
    assert service._pools_now().calls(is_trusted=True).host("http://a")._most == usual + 123_456


async def test_a_credential_is_one_for_calls_and_cards_as_long_as_the_agent_is_the_same(service: Service) -> None:
    assert await service._lines(AGENT) == {"authorization": "Bearer canary"}
    credential = service._credential(AGENT)
    assert service._credential(msgspec.structs.replace(AGENT)) is credential
    serve(service)
    assert service._credentials == {}


async def test_the_secrets_of_all_agents_are_told(service: Service) -> None:
    assert service.secrets() == {"canary"}


async def test_tasks_are_remembered_in_memory_where_nothing_can_be_kept(service: Service) -> None:
    await service.ledger.note(TASK, None)
    assert await service._memory.get("a", "t") == TASK


async def test_tasks_are_remembered_in_the_store_and_written_at_the_end(rig: Any, service: Service) -> None:
    records = MemoryRecords()

    class Admin:
        def __init__(self) -> None:
            self.records = records

    rig.site.accounts.admin = Admin()
    service.ledger.tell(TASK)
    await service.close()
    rig.site.accounts.admin = None
    assert await records.tasks.get("a", "t") == TASK


@pytest.fixture
async def keys(rig: Any) -> AsyncIterator[MemoryRecords]:
    """A store of keys with one key and one user."""
    records, tasks = MemoryRecords(), Tasks(logging.getLogger("test"), 10)

    class Admin:
        keys = KnownKeys(records, Pepper(b"pepper"), tasks, clock=lambda: 0.0, now=lambda: 0.0)

    rig.site.accounts.admin = Admin()
    await put(records, "keys", "k", Key(account="k", user_id="u"))
    await put(records, "users", "u", User())
    yield records
    rig.site.accounts.admin = None
    await tasks.close(1.0)


async def put(records: MemoryRecords, table: str, row_id: str, row: Key | User) -> None:
    old = await records.get(table, row_id)
    await records.change([Change(table, row_id, to_doc(row), 0 if old is None else old.version)])


KEY = Holder(name="key:k", key="k", user="u", role="key")
TOKEN = Holder(name="key:u", user="u", role="admin")


@pytest.mark.requirement("a2a.withdrawn")
async def test_who_has_set_a_webhook_is_whoever_has_the_key_now(service: Service, keys: MemoryRecords) -> None:
    found = await service._caller(KEY)
    assert (found.name, found.id, found.role) == ("key:k", "k", "key")
    await put(keys, "keys", "k", Key(account="k", user_id="u", blocked=True))
    with pytest.raises(Forbidden):
        await service._caller(KEY)
    with pytest.raises(Unauthenticated):
        await service._caller(msgspec.structs.replace(KEY, key="deleted"))


async def test_who_had_a_token_has_the_rights_of_its_user_and_its_own_role(
    service: Service, keys: MemoryRecords
) -> None:
    found = await service._caller(TOKEN)
    assert (found.user_id, found.role) == ("u", "admin")
    await put(keys, "users", "u", User(blocked=True))
    with pytest.raises(Forbidden):
        await service._caller(TOKEN)


async def test_the_master_and_those_without_a_key_need_no_store(service: Service) -> None:
    assert await service._caller(Holder(name="master")) is MASTER
    assert await service._caller(Holder()) is NOBODY
    with pytest.raises(Unauthenticated):
        await service._caller(KEY)


async def test_while_the_store_is_away_nobody_knows(service: Service, keys: MemoryRecords) -> None:
    keys.is_down = True
    with pytest.raises(Overloaded):
        await service._caller(KEY)


async def test_old_tasks_are_deleted_now_and_then(service: Service) -> None:
    await service.ledger.note(msgspec.structs.replace(TASK, is_over=True), None)
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) > 1:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await service._keep_tidy(sleep)
    assert await service._memory.get("a", "t") is None


@pytest.mark.requirement("a2a.push-relay")
async def test_what_one_worker_seals_another_one_reads(service: Service, rig: Any) -> None:
    other = Service(rig.site, lambda: None, Models(lambda: rig.assembly.current.serving.pipeline))
    sealed = (await service._sealer()).seal("canary", "push")
    assert (await other._sealer()).unseal(sealed, "push").reveal() == "canary"
    assert await service._sealer() is await service._sealer()


async def test_a_webhook_inside_is_refused_unless_the_operator_allows_it(service: Service) -> None:
    with pytest.raises(RpcError):
        await service._webhooks_now().check("http://127.0.0.1:1/hook")
    service.configure(A2aSettings(allowed_private=("127.0.0.0/8",)), UpstreamSettings(), AccessSettings())
    await service._webhooks_now().check("http://127.0.0.1:1/hook")


async def test_a_model_that_is_published_is_an_agent_of_this_process(service: Service) -> None:
    serve(service, AgentSettings(id="house", name="House", model="gpt"))
    with service._fleet.using(service.registry.entries["house"]) as agent:
        assert isinstance(agent, PublishedModel)


async def test_its_tasks_go_when_it_goes_and_not_before(service: Service) -> None:
    serve(service, AgentSettings(id="house", name="House", model="gpt"))
    with service._fleet.using(service.registry.entries["house"]):
        memory = service._memories["house"]
    run = Run("t", "c", {}, lambda: 0.0, 100)
    memory.add(run)
    serve(service, AgentSettings(id="house", name="Home", model="gpt"))
    with service._fleet.using(service.registry.entries["house"]):
        assert (service._memories["house"] is memory, run.is_over) == (True, False)
    serve(service)
    assert (service._memories, run.state) == ({}, "canceled")
