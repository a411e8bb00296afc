"""The order of attempts for one request: which deployment first, and what follows when one fails.

Rules
-----
1. A failure that another deployment of the group may not have is tried again there at once, up to the group's number
   of retries. With nobody else left the same one is asked again, after a pause.
2. Where no deployment is left that is likely to answer, further attempts come out of the group's budget, so that an
   upstream that is down sees hardly more than its usual traffic.
3. Otherwise the groups that are configured to go on with are tried, each with retries of its own; those for long
   prompts and for refused contents go first where that is what failed.
4. A group with every deployment at rest is passed over for its fallbacks; when all of these rest too, the first group
   is called all the same: the last one is never given up.

Nothing here waits or calls: the plan says what to do next, the pipeline does it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from pointsman.errors import GatewayError, Inexpressible, InvalidRequest, ModelNotFound, Overloaded, RateLimited
from pointsman.providers.base import Deployment
from pointsman.routing.candidates import ELSEWHERE as OTHER_REGION
from pointsman.routing.candidates import NO_FACTS, TOO_LONG, Facts, eligible, fitting
from pointsman.routing.failures import ELSEWHERE, FINAL, OF_CREDENTIAL, is_upstreams, kind_of, may_have_acted
from pointsman.routing.groups import Group, Groups, Match
from pointsman.routing.members import Member
from pointsman.routing.regions import not_there
from pointsman.routing.settings import FailureKind
from pointsman.wire.wishes import Fallback

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 8.0
LONGEST_OBEYED = 60.0
"""An upstream that wants to be left alone for longer is not waited for."""
SHARE = 0.75
"""Of a deployment's requests and tokens per minute, for what has time: the rest is left to others."""
MAX_GROUPS = 32
"""Groups that one request can go through, whatever the configuration and the caller say together."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller wants to be different for one request; ``None`` is as configured."""

    fallbacks: tuple[Fallback, ...] | None = None
    context_window_fallbacks: tuple[Fallback, ...] | None = None
    content_policy_fallbacks: tuple[Fallback, ...] | None = None
    num_retries: int | None = None
    is_without_fallbacks: bool = False
    has_time: bool = False
    """Whether it will be made again some time later, so that nobody has to be asked twice now, and it gives way."""


NO_WISH = Wish()


NO_OVERRIDES: Mapping[str, Any] = {}


class Choice(msgspec.Struct, frozen=True):
    """What to do next."""

    member: Member
    match: Match
    public_model: str
    """What the reply calls the model."""
    pause: float = 0.0
    """Seconds to wait before."""
    overrides: Mapping[str, Any] = {}


class Plan:
    """The attempts of one request. ``deadline`` and all times are of one clock."""

    __slots__ = (
        "_chance",
        "_depth",
        "_dropped",
        "_facts",
        "_group",
        "_groups",
        "_in_group",
        "_match",
        "_members",
        "_overrides",
        "_queue",
        "_tried",
        "_visited",
        "_wish",
        "deadline",
        "fallbacks",
        "is_repeatable",
        "max_retries",
        "model",
        "retries",
    )

    def __init__(
        self,
        groups: Groups,
        match: Match,
        model: str,
        chance: Callable[[], float],
        deadline: float,
        facts: Facts = NO_FACTS,
        wish: Wish = NO_WISH,
        is_repeatable: bool = True,
    ) -> None:
        """``is_repeatable``: whether asking twice does no harm when it is not known what became of the first time."""
        self._groups = groups
        self._match = match
        self._group = match.group
        self.model = model
        """The public name of the group in hand."""
        self._chance = chance
        self._facts = facts
        self._wish = wish
        self.deadline = deadline
        self.is_repeatable = is_repeatable
        self.retries = 0
        """Further attempts in the same group so far, all groups together."""
        self.fallbacks = 0
        """Groups gone on with so far."""
        wished = wish.num_retries
        self.max_retries = self._group.num_retries if wished is None else wished
        """Further attempts that the group in hand allows after a failure of no particular kind."""
        self._depth = 0
        self._in_group = 0
        self._overrides: Mapping[str, Any] = NO_OVERRIDES
        self._dropped: dict[str, str] | None = None
        self._members: Sequence[Member] | None = None
        self._tried: tuple[Member, ...] = ()
        self._queue: tuple[tuple[Fallback, int], ...] = ()
        self._visited: frozenset[tuple[Group, str | None]] = frozenset()

    @property
    def generation(self) -> int:
        """Of the deployments of the group in hand."""
        return self._group.generation

    @property
    def deployments(self) -> Sequence[Deployment]:
        """Of the group in hand, without those of its fallbacks."""
        return self._group.deployments

    @property
    def dropped(self) -> dict[str, str]:
        """Why deployments were left out, by id."""
        return self._dropped or {}

    def first(self, now: float) -> Choice:
        """Whom to ask first.

        :raises RateLimited: everybody's requests or tokens of this minute are used up
        :raises InvalidRequest: no deployment can ever take it, by its tags, its regions or by what it needs
        """
        group = self._group
        group.budget.request(now)
        if self._facts is NO_FACTS and (calm := group.calm(now)):
            member = calm[0] if len(calm) == 1 else group.strategy(calm, now, self._chance)
            return Choice(member, self._match, self.model)
        choice = self._next(now)
        if choice is None and not (self._wish.has_time and "rate limit" in self.dropped.values()):
            is_too_long = not self._members and TOO_LONG in self.dropped.values()
            kind = FailureKind.CONTEXT_WINDOW if is_too_long else None
            choice = self._go_on(kind, now) or self._next(now, takes_resting=True)
        if choice is None:
            raise self._nobody()
        return choice

    def after(self, member: Member, error: GatewayError, now: float) -> Choice | None:
        """What to do after ``member`` has failed; ``None``: give up, and tell the caller of ``error``."""
        if isinstance(error, Inexpressible):
            return self._instead(member, now)
        if not is_upstreams(error) and not isinstance(error, Overloaded):
            return None
        kind = kind_of(error)
        self._tried += (member,)
        self._in_group += 1
        if now >= self.deadline or (not self.is_repeatable and may_have_acted(error)):
            return None
        may_retry = self._in_group <= self._allowed(kind)
        choice = self._retry(kind, error, now) if may_retry else None
        if choice is None and not (self._wish.has_time and isinstance(error, Overloaded)):
            choice = self._go_on(kind, now)
        if choice is None and may_retry:
            choice = self._retry(kind, error, now, takes_resting=True)
        return choice

    def _instead(self, member: Member, now: float) -> Choice | None:
        """Who may take what ``member`` has no words for; nothing was sent, so nothing counts as a retry."""
        self._tried += (member,)
        choice = self._next(now)
        if choice is None or choice.member in self._tried:
            choice = self._go_on(None, now)
        left = [one for one in self._members or () if one not in self._tried]
        if choice is None and left:
            # Whoever rests may be the only one that has the words.
            return Choice(left[0], self._match, self.model, 0.0, self._overrides)
        return choice

    def beside(self, member: Member, now: float) -> Choice | None:
        """A second attempt while ``member`` is still at work: on another deployment that is likely to answer."""
        if member not in self._tried:
            self._tried += (member,)
        choice = self._next(now)
        if choice is None or choice.member in self._tried or choice.member.is_silent(now):
            return None
        return choice if choice.member.is_sound and not choice.member.is_full() else None

    def _enter(self, match: Match, model: str, overrides: Mapping[str, Any], depth: int) -> None:
        self._match = match
        self._group = match.group
        if self._wish.num_retries is None:
            self.max_retries = match.group.num_retries
        self.model = model
        self._overrides = overrides
        self._depth = depth
        self._tried = ()
        self._in_group = 0
        self._members = None

    def _next(self, now: float, *, takes_resting: bool = False, error: GatewayError | None = None) -> Choice | None:
        """The strategy's choice in the group in hand; with ``takes_resting`` also where nobody is fit."""
        if self._dropped is None:
            self._dropped = {}
        if self._members is None:
            self._members = fitting(self._group.members, self._facts, self._dropped)
        share = SHARE if self._wish.has_time else 1.0
        members = eligible(
            self._members,
            now,
            tried=self._tried,
            chance=self._chance,
            enforces_rates=self._group.enforces_rates,
            dropped=self._dropped,
            order=self._facts.order,
            share=share,
        )
        if not members and takes_resting:
            members = [m for m in self._members if not (self._group.enforces_rates and m.is_spent(now, share))]
            members = [m for m in members if m not in self._tried] or members
        if not members:
            return None
        member = members[0] if len(members) == 1 else self._group.strategy(members, now, self._chance)
        pause = self._pause(error) if self._is_again(member, error) else 0.0
        return Choice(member, self._match, self.model, pause, self._overrides)

    def _allowed(self, kind: FailureKind) -> int:
        if self._wish.num_retries is not None:
            return 0 if kind in FINAL else self._wish.num_retries
        return self._group.retries_after(kind)

    def _retry(
        self, kind: FailureKind, error: GatewayError, now: float, *, takes_resting: bool = False
    ) -> Choice | None:
        choice = self._next(now, takes_resting=takes_resting, error=error)
        if choice is None or now + choice.pause >= self.deadline:
            return None
        if choice.pause > LONGEST_PAUSE and not takes_resting:
            # So long a wait is the last resort: a fallback goes first.
            return None
        is_again, budget = self._is_again(choice.member, error), self._group.budget
        is_waited_for = (error.retry_after or 0) <= LONGEST_OBEYED and not isinstance(error, Overloaded)
        if is_again and (self._wish.has_time or kind in ELSEWHERE or not is_waited_for):
            return None
        if (is_again or not choice.member.is_sound) and not budget.is_open(now):
            return None
        budget.spend(now)
        self.retries += 1
        return choice

    def _is_again(self, member: Member, error: GatewayError | None) -> bool:
        """Whether asking ``member`` is asking once more: it was tried, or refused was the key that it has too."""
        if member in self._tried or error is None or kind_of(error) not in OF_CREDENTIAL:
            return member in self._tried
        return any(member.credential is one.credential for one in self._tried)

    def _pause(self, error: GatewayError | None) -> float:
        if error is not None and error.retry_after:
            return max(self._group.retry_after, error.retry_after)
        own = min(FIRST_PAUSE * 2.0 ** (self._in_group - 1), LONGEST_PAUSE) * (0.5 + 0.5 * self._chance())
        return max(self._group.retry_after, own)

    def _go_on(self, kind: FailureKind | None, now: float) -> Choice | None:
        """The first attempt in the next group that has somebody fit; without one, the group in hand stays."""
        if self._wish.is_without_fallbacks:
            return None
        if not self._visited:
            self._visited = frozenset({(self._group, self._match.captured)})
        self._queue_fallbacks(kind)
        start = (self._match, self.model, self._overrides, self._depth)
        progress = (self._tried, self._in_group, self._members)
        while self._queue and len(self._visited) < MAX_GROUPS:
            (target, depth), self._queue = self._queue[0], self._queue[1:]
            match = self._match_new(target.model)
            if match is None:
                continue
            self._enter(match, target.model, target.overrides, depth)
            choice = self._next(now)
            if choice is not None:
                self.fallbacks += 1
                self._group.budget.request(now)
                return choice
            self._queue_fallbacks(kind)
        self._enter(*start)
        self._tried, self._in_group, self._members = progress
        return None

    def _queue_fallbacks(self, kind: FailureKind | None) -> None:
        if self._depth < self._groups.max_fallbacks:
            self._queue = (*((target, self._depth + 1) for target in self._targets(kind)), *self._queue)

    def _match_new(self, model: str) -> Match | None:
        """The group of that name, unless there is none or it was gone to before."""
        try:
            match = self._groups.match(model)
        except ModelNotFound:
            return None
        place = (match.group, match.captured)
        if place in self._visited:
            return None
        self._visited |= {place}
        return match

    def _targets(self, kind: FailureKind | None) -> tuple[Fallback, ...]:
        """Where to go on from the group in hand, each with what the caller wants of it."""
        wish, groups, names = self._wish, self._groups, (self.model, self._group.name)
        special: tuple[Fallback, ...] = ()
        if kind is FailureKind.CONTEXT_WINDOW:
            special = _wished(wish.context_window_fallbacks, groups.context_window_fallbacks(*names))
        elif kind is FailureKind.CONTENT_POLICY:
            special = _wished(wish.content_policy_fallbacks, groups.content_policy_fallbacks(*names))
        if wish.fallbacks is not None:
            return special + wish.fallbacks if self._depth == 0 else special
        return special + _plain(groups.fallbacks(*names))

    def _nobody(self) -> GatewayError:
        group = self._group
        reasons = {self.dropped[d.id] for d in group.deployments if d.id in self.dropped}
        if OTHER_REGION in reasons and not self._members:
            return not_there(group.name, self._facts.regions, (one.region for one in group.deployments))
        if "tags" in reasons and not self._members:
            return InvalidRequest(f"No deployment of the model {group.name!r} has these tags", param="tags")
        if not self._members:
            text = f"No deployment of the model {group.name!r} can take this request ({', '.join(sorted(reasons))})"
            return InvalidRequest(text, code="context_length_exceeded" if TOO_LONG in reasons else None)
        return RateLimited(f"The model {group.name!r} has used up its requests or tokens per minute", retry_after=6)


def _wished(wish: tuple[Fallback, ...] | None, configured: tuple[str, ...]) -> tuple[Fallback, ...]:
    """An empty wish is one for none."""
    return _plain(configured) if wish is None else wish


def _plain(names: tuple[str, ...]) -> tuple[Fallback, ...]:
    return tuple(map(Fallback, names))
