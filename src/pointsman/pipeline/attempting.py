"""Attempts for a planned call: one after the other until one has an answer to send, or the plan has nobody left.

What is sent downstream is never taken back. What an attempt has used is counted for its deployment when it ends, and
what became of the call when its last one has.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any

from pointsman.errors import GatewayError, InternalError, Overloaded, UpstreamUnreachable
from pointsman.pipeline.admission import BATCH_PRIORITY, Admission
from pointsman.pipeline.answers import JSON, Answers
from pointsman.pipeline.attempt import Attempt
from pointsman.pipeline.call import Call
from pointsman.pipeline.gate import Gates
from pointsman.pipeline.headers import attempt_headers
from pointsman.pipeline.hedging import Hedging
from pointsman.pipeline.outgoing import Outgoing
from pointsman.pipeline.race import Outrun
from pointsman.pipeline.targets import Target
from pointsman.pipeline.wants import NOTHING, Wants
from pointsman.routing.plan import Choice, Plan
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.response import Response

log = logging.getLogger(__name__)


class Attempts:
    """Makes the attempts for the calls of one snapshot."""

    def __init__(
        self,
        targets: Mapping[str, Target],
        answers: Answers,
        admission: Admission,
        tasks: Tasks,
        gates: Gates,
        *,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        """``targets`` are by deployment id."""
        self._targets = targets
        self._answers = answers
        self._admission = admission
        self._tasks = tasks
        self._gates = gates
        self._clock = clock
        self._chance = chance
        self._can_drain = any(target.drains_on_disconnect for target in targets.values())
        self._hedging = Hedging(targets, clock)

    def run(self, call: Call, plan: Plan, want: Wants, outgoing: Outgoing) -> Coroutine[Any, Any, None]:
        """Make attempts for a call whose body is all there.

        :raises GatewayError: as long as ``call.downstream.is_started`` is false
        """
        now = self._clock()
        attempt = self._begin(call, plan, plan.first(now), want, now)
        if self._can_drain:
            return self._detach(attempt, want, outgoing)
        if want.is_mock_failure or attempt.choice.match.group.hedges is not None:
            return self.follow(attempt, want, outgoing)
        return self._carry(attempt, outgoing, want)

    def first(self, call: Call, plan: Plan, want: Wants) -> Attempt:
        """The first attempt for a call, which is still to be made."""
        now = self._clock()
        return self._begin(call, plan, plan.first(now), want, now)

    async def follow(self, attempt: Attempt, want: Wants, outgoing: Outgoing) -> None:
        """Make attempts until one has an answer or the plan has nobody left; the first may have failed already.

        :raises GatewayError: as long as ``call.downstream.is_started`` is false
        """
        call, plan = attempt.call, attempt.plan
        try:
            if want.is_mock_failure:
                attempt.error = UpstreamUnreachable("This failure was asked for (mock_testing_fallbacks)")
            elif attempt.error is None:
                attempt = await self._make(attempt, outgoing)
            while (error := attempt.error) is not None and not call.downstream.is_started:
                if call.has_left() or not outgoing.can_repeat:
                    break
                following = plan.after(attempt.member, error, self._clock())
                if following is None:
                    break
                if following.pause:
                    await asyncio.sleep(following.pause)
                    if call.has_left():
                        break
                attempt.count_failed()
                attempt = self._begin(call, plan, following, want, self._clock())
                await outgoing.prepare(attempt)
                attempt = await self._make(attempt, outgoing)
        except Exception:
            call.note(InternalError())
            raise
        finally:
            self._settle(call, attempt, self._clock())
        if attempt.error is not None and not call.downstream.is_started:
            attempt.error.headers += attempt_headers(plan)
            raise attempt.error

    async def make_alone(self, attempt: Attempt, outgoing: Outgoing) -> None:
        """Make an attempt that no other one follows; what goes wrong is left in it."""
        await self._carry(attempt, outgoing)
        self._settle(attempt.call, attempt, self._clock())

    def _begin(self, call: Call, plan: Plan, choice: Choice, want: Wants, now: float) -> Attempt:
        target = self._targets[choice.member.deployment.id]
        attempt = Attempt(call, plan, choice, target, now)
        call.is_drained = target.drains_on_disconnect
        if want is not NOTHING:
            attempt.priority = max(call.priority, want.priority)
            attempt.limit_first_byte(want.patience if call.is_stream else None)
        return attempt

    async def _detach(self, attempt: Attempt, want: Wants, outgoing: Outgoing) -> None:
        """Go on to the end of an answer although the client has left, to know what it has cost."""
        call = attempt.call
        try:
            task = self._tasks.start(self._outcome(attempt, want, outgoing), f"drain {call.group}")
        except Overloaded:
            # Too many go on already: this one ends with its client.
            await self.follow(attempt, want, outgoing)
            return
        try:
            error = await asyncio.shield(task)
        except asyncio.CancelledError:
            call.is_abandoned = True
            if call.is_drained:
                self._admission.adopt(task)
                if call.bill is not None:
                    call.bill.hold(task)
            else:
                task.cancel()
            raise
        if error is not None:
            raise error

    async def _outcome(self, attempt: Attempt, want: Wants, outgoing: Outgoing) -> GatewayError | None:
        """The failure of a call as a value: there may be nobody left to raise it to."""
        try:
            await self.follow(attempt, want, outgoing)
        except GatewayError as error:
            return error
        return None

    async def _make(self, attempt: Attempt, outgoing: Outgoing) -> Attempt:
        """Make an attempt, with another one beside it where the group hedges; gives the one that tells."""
        hedges = attempt.choice.match.group.hedges
        # What has time need not be quicker.
        if hedges is None or not attempt.plan.is_repeatable or attempt.call.priority >= BATCH_PRIORITY:
            await self._carry(attempt, outgoing)
            return attempt
        return await self._hedging.make(self._carry, attempt, outgoing, hedges)

    async def _carry(self, attempt: Attempt, outgoing: Outgoing, want: Wants | None = None) -> None:
        """Send, and take the answer; what goes wrong before anything was sent downstream is left in ``attempt``.

        With ``want`` it is the first attempt of a call, which is settled here if it has an answer, and followed by
        others if it has failed: a coroutine around this one would be paid for by every request that needs no other.
        """
        call, member = attempt.call, attempt.member
        response: Response | None = None
        has_entered = False
        try:
            if member.is_limited:
                await self._gates.enter(
                    member,
                    attempt.priority,
                    attempt.plan.deadline,
                    heeds_rates=attempt.choice.match.group.enforces_rates,
                    gives_way=call.priority >= BATCH_PRIORITY,
                )
                attempt.start(self._clock())
            else:
                member.enter(attempt.sent)
            has_entered = True
            head, body, length = outgoing.request(attempt)
            response = await attempt.target.upstream.send(
                head, body, length=length, timeouts=attempt.timeouts, deadline=attempt.deadline
            )
            attempt.answered = self._clock()
            if (whole := response.whole(JSON)) is not None:
                self._answers.answer(attempt, response, whole)
            else:
                await self._answers.take(attempt, response)
        except GatewayError as error:
            # Without its frames, which hold the attempt that holds it: that would be work for the collector.
            attempt.error = error.with_traceback(None)
        except Outrun:
            pass
        except Exception:
            call.note(InternalError())
            raise
        finally:
            if response is not None and not response.is_complete:
                response.abort()
            now = self._clock()
            if has_entered:
                self._conclude(attempt, now)
            if want is not None and (attempt.error is None or call.downstream.is_started):
                self._settle(call, attempt, now)
        if want is not None and attempt.error is not None and not call.downstream.is_started:
            await self.follow(attempt, want, outgoing)

    def _conclude(self, attempt: Attempt, now: float) -> None:
        if attempt.conclude(now, self._chance):
            attempt.meter.rest()
            log.warning("deployment %s rests after %s", attempt.member.deployment.id, attempt.failure_name)
        if attempt.member.is_limited:
            self._gates.left(attempt.member)
        if attempt.call.bill is not None:
            attempt.call.bill.add(attempt, now)

    def _settle(self, call: Call, attempt: Attempt, now: float) -> None:
        if attempt.race is not None:
            attempt = attempt.race.winner or attempt
        if attempt.error is not None and not call.downstream.is_started:
            call.note(attempt.error)
        if call.is_ask:
            self._settle_ask(call, attempt, now)
            return
        attempt.target.meter(call.group, call.operation).observe(
            call.status,
            now - call.received,
            (now if attempt.answered is None else attempt.answered) - attempt.sent,
            attempt.ttft,
            attempt.overhead,
            attempt.usage,
            None if attempt.cost is None else float(attempt.cost),
            call.failure,
            is_deployments_fault=call.is_deployments_fault,
        )
        call.downstream.is_settled = True
        if call.routed is not None:
            call.routed.settle(attempt)
        plan = attempt.plan
        if plan.retries or plan.fallbacks:
            attempt.target.metrics.observe_extra(
                call.group,
                attempt.choice.match.group.name if plan.fallbacks else call.group,
                has_retries=plan.retries > 0,
                is_success=call.status == 200,
            )

    def _settle_ask(self, call: Call, attempt: Attempt, now: float) -> None:
        """Count for the deployment what was asked on the way; the client's request is counted by whoever asked."""
        attempt.meter.observe_ask(
            (now if attempt.answered is None else attempt.answered) - attempt.sent,
            attempt.ttft,
            attempt.usage,
            None if attempt.cost is None else float(attempt.cost),
            call.failure,
            is_answered=attempt.is_answered,
            is_deployments_fault=call.is_deployments_fault,
        )
        if attempt.plan.fallbacks:
            used, is_success = attempt.choice.match.group.name, call.status == HTTPStatus.OK
            attempt.target.metrics.observe_extra(call.group, used, has_retries=False, is_success=is_success)
