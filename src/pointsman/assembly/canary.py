"""The canary check: one small request to each new deployment before anybody depends on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import msgspec

from pointsman.assembly.serving import Assembled
from pointsman.errors import GatewayError
from pointsman.pipeline.inside import collect
from pointsman.providers.base import Deployment
from pointsman.wire import operations as op
from pointsman.wire.operations import Operation

AT_ONCE = 8
MOST = 64
"""Deployments that are asked; with more of them the first ones stand for the others."""
TIMEOUT = 15.0
MAX_TOKENS = 16
"""Some models refuse to answer with less."""
CHATS = frozenset({None, "chat", "completion", "responses"})
ALIVE = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.TOO_MANY_REQUESTS})
"""Refusals of somebody who has understood whom he serves."""
NO_OTHERS: dict[str, Any] = {"num_retries": 0, "disable_fallbacks": True, "timeout": TIMEOUT}


async def check(after: Assembled, before: Assembled, clock: Callable[[], float]) -> tuple[list[str], int]:
    """What is wrong with deployments that only ``after`` has, one line each, and how many were asked."""
    asked = [one for one in new_ones(after, before) if "*" not in one.upstream_model][:MOST]
    slots = asyncio.Semaphore(AT_ONCE)
    found = await asyncio.gather(*(_ask(after, one, clock, slots) for one in asked))
    return [problem for problem in found if problem is not None], len(asked)


def new_ones(after: Assembled, before: Assembled) -> Iterable[Deployment]:
    """Deployments that are not those of ``before``."""
    there = before.groups.members
    for deployment in after.snapshot.deployments:
        member = there.get(deployment.id)
        if member is None or member.deployment is not deployment:
            yield deployment


async def _ask(
    after: Assembled, deployment: Deployment, clock: Callable[[], float], slots: asyncio.Semaphore
) -> str | None:
    question = question_of(deployment)
    if question is None:
        return None
    operation, body = question
    async with slots:
        try:
            await collect(after.serving.pipeline, operation, msgspec.json.encode(body), now=clock())
        except GatewayError as error:
            if error.status in ALIVE:
                return None
            return f"{deployment.model_name} ({deployment.id[:12]}): {error.status} {error.message}"
    return None


def question_of(deployment: Deployment) -> tuple[Operation, dict[str, Any]] | None:
    """A small request that only this deployment answers; ``None``: there is none that is small."""
    if deployment.mode in CHATS:
        messages = [{"role": "user", "content": "Hi"}]
        body = {"model": deployment.id, "messages": messages, "max_tokens": MAX_TOKENS, **NO_OTHERS}
        return op.CHAT, body
    if deployment.mode == op.EMBEDDINGS.mode:
        return op.EMBEDDINGS, {"model": deployment.id, "input": "Hi", **NO_OTHERS}
    return None
