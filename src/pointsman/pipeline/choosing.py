"""Requests whose model is chosen for their prompt, on their way through the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pointsman.errors import InvalidRequest, ModelNotFound
from pointsman.pipeline.call import Call
from pointsman.pipeline.outgoing import JsonBody
from pointsman.pipeline.question import question_of
from pointsman.pipeline.wants import Wants
from pointsman.routing.groups import Groups, Match
from pointsman.wire import operations as op
from pointsman.wire.operations import Operation
from pointsman.wire.peek import peek
from pointsman.wire.wishes import Fallback

if TYPE_CHECKING:
    from pointsman.pipeline.serve import Pipeline


async def serve_routed(
    pipeline: Pipeline, call: Call, match: Match, model: str | None, want: Wants, body: bytes, shape: Operation | None
) -> None:
    """Choose the model for this prompt, and go on as if the caller had named it.

    :raises GatewayError: as long as ``call.downstream.is_started`` is false
    """
    routed = pipeline.routed[match.group.name]
    asked = model or match.group.name
    try:
        question = question_of(call, match, asked, want, body, shape, pipeline.routing, pipeline.clock())
    except InvalidRequest:
        if match.knob is not None or not match.group.members:
            raise
        # Deployments of its own take what cannot be read as a prompt, by the usual strategy.
        outgoing = JsonBody(peek(shape or call.operation, body), body, shape, want.shaping)
        await pipeline.answer(call, pipeline.plan(call, match, model, want, body), want, outgoing, body)
        return
    # Whoever counts tokens pays for nothing.
    question.is_quiet = call.operation in op.COUNTS

    async def go_on(candidate: str | None, changed: bytes | None = None) -> None:
        if call.routed is None:
            is_count = call.operation in op.COUNTS
            chosen = await (routed.look(question) if is_count else routed.choose(question, candidate))
        else:
            chosen = call.routed.chosen
        match, name, facts, wish = routed.follow(chosen)
        body = changed or question.body
        peeked = call.peeked = peek(question.shape, body)
        plan = pipeline.plan_of(call, want, match, name, facts, wish)
        await pipeline.answer(call, plan, want, JsonBody(peeked, body, shape, want.shaping), body)

    try:
        if routed.procedure is not None and call.operation not in op.COUNTS:
            await routed.procedure.serve(question, routed, go_on)
        else:
            await go_on(None)
    finally:
        if not call.is_abandoned:
            # It refers to the question, and that to the call: a checkpoint is too much to be held in a circle.
            call.routed = None


def refuse_routed(groups: Groups, fallbacks: Sequence[Fallback]) -> None:
    """:raises InvalidRequest: one of ``fallbacks`` is a model that is chosen for each prompt itself"""
    for one in fallbacks:
        try:
            group = groups.match(one.model).group
        except ModelNotFound:
            continue
        if group.is_routed and not group.members:
            what = f"{one.model[:200]!r} chooses a model for each prompt, and cannot be fallen back to"
            raise InvalidRequest(f"{what}: name one of its candidates", param="fallbacks")
