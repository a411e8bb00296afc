"""Webhooks of clients, between them and the agents; see :class:`~pointsman.a2a.gateway.Push`."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from pointsman.a2a.base import Call, Cards
from pointsman.a2a.gateway import Forward
from pointsman.a2a.ownership import Ownership
from pointsman.a2a.permissions import visible
from pointsman.a2a.protocol import peeking, translation
from pointsman.a2a.protocol.faults import INVALID_PARAMS, PUSH_NOT_SUPPORTED, TASK_NOT_FOUND, refusal
from pointsman.a2a.protocol.messages import Malformed
from pointsman.a2a.protocol.operations import Operation, Version
from pointsman.a2a.protocol.push import modern_config
from pointsman.a2a.push import hooks
from pointsman.a2a.push.deliveries import Deliveries, Delivery
from pointsman.a2a.push.hooks import Holder, Hook
from pointsman.a2a.push.watching import Watching
from pointsman.a2a.push.webhooks import Webhooks, refused
from pointsman.a2a.settings import A2aSettings, AgentSettings
from pointsman.a2a.tasks import TaskLedger
from pointsman.access.caller import Caller
from pointsman.access.policy import may_speak
from pointsman.errors import GatewayError, InvalidRequest, Overloaded, ResourceNotFound
from pointsman.store.sealing import CannotUnseal, Sealer
from pointsman.wire.here import base_of
from pointsman.wire.jsonrpc import RpcError

PATH: Final = "/a2a/push/"
MAX_CONFIGS: Final = 20
"""Of one task."""
EARLY_SECONDS: Final = 60.0
"""After the first word of a task, in which a webhook may be called that stood beside the message that began it."""
TYPES: Final[Mapping[Version, str]] = {"1.0": "application/a2a+json", "0.3": "application/json"}
log = logging.getLogger("pointsman.a2a.push")
_encode = msgspec.json.encode


class Notifications:
    """Looks at webhooks, keeps those that are relayed, and passes on what agents tell."""

    def __init__(
        self,
        ledger: TaskLedger,
        cards: Cards,
        deliveries: Deliveries,
        watching: Watching,
        webhooks: Callable[[], Webhooks],
        sealer: Callable[[], Awaitable[Sealer]],
        *,
        agents: Callable[[], Mapping[str, AgentSettings]],
        caller: Callable[[Holder], Awaitable[Caller]],
        now: Callable[[], float],
    ) -> None:
        """``sealer`` is the same in all workers; ``now`` is seconds since 1970.

        ``caller`` tells who a holder of webhooks is now, and raises a :class:`GatewayError` where he is nobody.
        """
        self.deliveries = deliveries
        self._cards = cards
        self._watching = watching
        self._ledger = ledger
        self._ownership = Ownership(ledger, now)
        self._webhooks = webhooks
        self._sealer = sealer
        self._agents = agents
        self._caller = caller
        self._now = now
        self._public_url = ""

    def configure(self, settings: A2aSettings) -> None:
        """Go by these settings from now on."""
        self._public_url = settings.public_url.rstrip("/")

    # -- clients --------------------------------------------------------------------------------------------------

    async def ask(self, call: Call, settings: AgentSettings, speaks: Version, forward: Forward) -> bytes:
        """See :class:`~pointsman.a2a.gateway.Push`."""
        if await self._relays(call, settings, speaks):
            return _encode(await self._answer(call, None if await self._watches(settings) else forward))
        if call.operation is Operation.SET_PUSH:
            await self._webhooks().check(_webhook(call))
        return await forward(call.operation, call.params)

    async def outgoing(self, call: Call, settings: AgentSettings, speaks: Version) -> bytes:
        """See :class:`~pointsman.a2a.gateway.Push`."""
        await self._webhooks().check(_webhook(call))
        if not await self._relays(call, settings, speaks):
            return call.params
        value = msgspec.json.decode(call.params)
        told = value["configuration"]
        if await self._watches(settings):
            del told[str(hooks.named(told))]
            return _encode(value)
        hook = _beside(call, told)
        mine = translation.push(await self._mine(call, hook), "1.0", call.version)
        told[str(hooks.named(told))] = mine["pushNotificationConfig"] if call.version == "0.3" else mine
        return _encode(value)

    async def bound(self, call: Call, settings: AgentSettings, speaks: Version, task_id: str) -> None:
        """See :class:`~pointsman.a2a.gateway.Push`."""
        if await self._relays(call, settings, speaks):
            hook = _beside(call, msgspec.json.decode(call.params)["configuration"])
            await self._keep(task_id, replace(hook, task=task_id))
            if await self._watches(settings):
                self._watch(call, task_id)

    async def _relays(self, call: Call, settings: AgentSettings, speaks: Version) -> bool:
        """What an agent of the other version would tell itself is nothing that the client understands."""
        if settings.push != "pass" or speaks == call.version:
            return settings.push == "relay"
        return bool(await self._here(call))

    async def _here(self, call: Call) -> str:
        """Where agents find the gateway; empty: nobody knows.

        Where that is not configured it is what the client has called, if he could name that as his webhook as well:
        anybody can write anything into a ``Host`` header.
        """
        here = base_of(self._public_url, call.headers)
        if not self._public_url:
            try:
                await self._webhooks().check(here)
            except RpcError:
                return ""
        return here

    async def _watches(self, settings: AgentSettings) -> bool:
        """Whether the gateway listens to tasks, as it is to tell of them for an agent that cannot do so."""
        if settings.push != "relay" or "push" not in settings.adds:
            return False
        said = (await self._cards.live(settings.id)).card.get("capabilities")
        return not isinstance(said, Mapping) or said.get("pushNotifications") is not True

    def _watch(self, call: Call, task: str) -> None:
        async def wanted() -> list[Hook]:
            kept = await self._kept(call.agent, task)
            return [hook for hook in kept.values() if await self._is_wanted(hook)]

        async def tell(event: bytes) -> bool:
            found = await wanted()
            for hook in found:
                self.deliveries.put(_delivery(hook, task, _translated(event, "1.0", hook.version)))
            return bool(found)

        async def is_wanted() -> bool:
            try:
                return bool(await wanted())
            except Overloaded:
                # While nobody can tell, it goes on.
                return True

        self._watching.watch(call, task, tell, is_wanted)

    async def _is_wanted(self, hook: Hook) -> bool:
        """Whether whoever has set it still may ask its agent."""
        settings = self._agents().get(hook.agent)
        if settings is None or settings.push == "off":
            return False
        try:
            caller = await self._caller(hook.holder)
        except Overloaded:
            # The same.
            return True
        except GatewayError:
            return False
        return visible(caller, settings) and (not caller.name or may_speak(caller))

    # -- agents ---------------------------------------------------------------------------------------------------

    async def behind(self, token: str) -> Hook:
        """The webhook that a token stands for.

        :raises ResourceNotFound: there is none, or whoever has set it may not ask the agent any more
        """
        hook = hooks.unseal(token, await self._sealer())
        if hook is None or not await self._is_wanted(hook):
            raise _gone()
        return hook

    async def receive(self, hook: Hook, body: bytes) -> None:
        """An agent tells something of a task, to somebody's webhook.

        :raises ResourceNotFound: nobody wants to be told any more
        :raises InvalidRequest: it is nothing that an agent could tell
        :raises Overloaded: it cannot be taken at the moment
        """
        try:
            told = peeking.told(body)
            payload = _translated(body, told.version or "0.3", hook.version)
        except RpcError as error:
            raise InvalidRequest("The body is no notification of an agent") from error
        if told.kind == "other" or (hook.task and told.task not in {"", hook.task}):
            raise InvalidRequest("The body is no notification of this task")
        if told.task:
            await self._look(hook, told)
        self.deliveries.put(_delivery(hook, told.task or hook.task, payload))

    async def _look(self, hook: Hook, told: peeking.Told) -> None:
        row = await self._ledger.find(hook.agent, told.task)
        is_early = row is None or row.first_at + EARLY_SECONDS > self._now()
        if hook.task or not is_early:
            kept = await self._ledger.push(hook.agent, told.task)
            if hook.id not in kept:
                raise _gone()
        if row is not None:
            self._ownership.heard(row, told)

    # -- configurations -------------------------------------------------------------------------------------------

    async def _answer(self, call: Call, forward: Forward | None) -> Any:
        """``forward`` is ``None`` where the agent is not to hear of it."""
        asked = peeking.asked(call.operation, call.version, call.params)
        if call.operation is Operation.SET_PUSH:
            return await self._set(call, asked.task, forward)
        kept = await self._kept(call.agent, asked.task)
        if call.operation is Operation.LIST_PUSH:
            every = [translation.push(one.config(asked.task), "1.0", call.version) for one in kept.values()]
            return every if call.version == "0.3" else {"configs": every, "nextPageToken": ""}
        if call.operation is Operation.DELETE_PUSH:
            return await self._delete(call, asked, kept.get(asked.push_id), forward)
        # 0.3 may leave out which one is meant.
        first = None if asked.push_id else next(iter(kept.values()), None)
        found = kept.get(asked.push_id or asked.task, first)
        if found is None and call.version == "0.3":
            # One that was set without an id goes by any: servers of 0.3 do not look at it.
            found = kept.get(asked.task)
        if found is None:
            raise refusal(TASK_NOT_FOUND, "There is no such configuration of push notifications")
        return translation.push(found.config(asked.task), "1.0", call.version)

    async def _set(self, call: Call, task: str, forward: Forward | None) -> Any:
        hook = replace(_hook(call, _inner(msgspec.json.decode(call.params), call.version), task), task=task)
        await self._webhooks().check(hook.url)
        kept = await self._ledger.push(call.agent, task)
        if len(kept) >= MAX_CONFIGS and hook.id not in kept:
            raise refusal(INVALID_PARAMS, f"A task has at most {MAX_CONFIGS} configurations of push notifications")
        # The agent may tell something before it has answered.
        await self._keep(task, hook)
        if forward is None:
            self._watch(call, task)
        else:
            try:
                await self._register(call, task, hook, forward)
            except (RpcError, GatewayError):
                await self._ledger.set_push(call.agent, task, hook.id, kept.get(hook.id))
                raise
        return translation.push(hook.config(task), "1.0", call.version)

    async def _register(self, call: Call, task: str, hook: Hook, forward: Forward) -> None:
        """Have the agent tell the gateway."""
        mine = translation.push(await self._mine(call, hook) | {"taskId": task}, "1.0", call.version)
        told = msgspec.json.decode(await forward(Operation.SET_PUSH, _encode(mine)))
        told = told.get(hooks.named(told), told) if isinstance(told, dict) else None
        upstream = told.get("id") if isinstance(told, dict) else None
        if isinstance(upstream, str) and upstream not in {"", hook.id}:
            await self._keep(task, replace(hook, upstream=upstream))

    async def _delete(self, call: Call, asked: peeking.Asked, hook: Hook | None, forward: Forward | None) -> Any:
        if not asked.push_id:
            raise refusal(INVALID_PARAMS, "The id of the configuration is missing")
        if hook is not None:
            await self._ledger.set_push(call.agent, asked.task, hook.id, None)
        if hook is not None and forward is not None:
            ids = {"taskId": asked.task, "id": hook.upstream or hook.id}
            params = translation.params(Operation.DELETE_PUSH, ids, "1.0", call.version)
            try:
                await forward(Operation.DELETE_PUSH, _encode(params))
            except (RpcError, GatewayError) as error:
                # What it tells from now on is for nobody.
                log.info("agent %s has not deleted a webhook: %s", call.agent, error)
        return {} if call.version == "1.0" else None

    async def _mine(self, call: Call, hook: Hook) -> dict[str, str]:
        """The gateway's own configuration, in the form of version 1.0.

        :raises RpcError: the gateway cannot be told anything
        """
        here = await self._here(call)
        if not here:
            log.warning("push notifications cannot be relayed: 'public_url' is not set")
            raise refusal(PUSH_NOT_SUPPORTED)
        return {"id": hook.upstream or hook.id, "url": here + PATH + await self._seal(hook)}

    async def _seal(self, hook: Hook) -> str:
        try:
            return hooks.seal(hook, await self._sealer())
        except CannotUnseal as error:
            log.warning("push notifications cannot be relayed: %s", error)
            raise refusal(PUSH_NOT_SUPPORTED) from error

    async def _keep(self, task: str, hook: Hook) -> None:
        await self._ledger.set_push(hook.agent, task, hook.id, await self._seal(hook))

    async def _kept(self, agent: str, task: str) -> dict[str, Hook]:
        sealer = await self._sealer()
        found = [hooks.unseal(text, sealer) for text in (await self._ledger.push(agent, task)).values()]
        return {hook.id: hook for hook in found if hook is not None}


def _webhook(call: Call) -> str:
    webhook = peeking.asked(call.operation, call.version, call.params).webhook
    if not webhook:
        raise refused("is missing")
    return webhook


def _beside(call: Call, told: Mapping[str, Any]) -> Hook:
    """The webhook that stands beside a message; the same one whenever it is asked for."""
    return _hook(call, _inner(told, call.version))


def _hook(call: Call, config: Mapping[str, Any], task: str = "") -> Hook:
    """In 0.3, what has no id has that of its task; in 1.0 it gets one of its own."""
    digest = hashlib.sha256(f"{call.request_id}\0".encode() + call.params).hexdigest()[:32]
    own = task if task and call.version == "0.3" else digest
    hook = hooks.read(config, agent=call.agent, version=call.version, id=own)
    return replace(hook, holder=hooks.holder_of(call.caller))


def _inner(value: Mapping[str, Any], version: Version) -> Mapping[str, Any]:
    """What a client wants, in the form of version 1.0; in 0.3, and beside a message, that stands in a member.

    :raises RpcError: it has not the shape of one
    """
    name = hooks.named(value)
    inner = value if name is None else value[name]
    try:
        return modern_config(inner) if version == "0.3" else inner
    except Malformed as error:
        raise refusal(INVALID_PARAMS, f"Invalid parameters: {error}") from error


def _translated(body: bytes, source: Version, target: Version) -> bytes:
    return body if source == target else _encode(translation.notice(msgspec.json.decode(body), source, target))


def _delivery(hook: Hook, task: str, body: bytes) -> Delivery:
    headers = {"content-type": TYPES[hook.version], "user-agent": "pointsman"}
    if hook.token:
        headers["x-a2a-notification-token"] = hook.token
    if hook.scheme and hook.credentials:
        headers["authorization"] = f"{hook.scheme} {hook.credentials}"
    # One client may have the same id at two agents, and two clients at one.
    webhook = f"{hook.agent}\0{task}\0{hook.id}\0{hook.url}"
    return Delivery(
        agent=hook.agent,
        task=task,
        webhook=webhook,
        owner=hook.holder.name,
        url=hook.url,
        body=body,
        headers=headers,
    )


def _gone() -> ResourceNotFound:
    return ResourceNotFound("Nobody wants to be told that here")
