"""What a caller wants to be different for one request, in the words of the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pointsman.pipeline.translate import AS_IT_IS, Shaping
from pointsman.routing.plan import NO_WISH, Wish
from pointsman.wire.peek import RawWishes
from pointsman.wire.wishes import Fallback, Wishes, wishes_of


class Wants(msgspec.Struct, frozen=True, kw_only=True):
    """A caller's wishes; what is not wished for is as configured."""

    wish: Wish = NO_WISH
    model: str | None = None
    """The first of ``models``, for a request that names no other."""
    timeout: float | None = None
    """Seconds for the whole request."""
    stream_timeout: float | None = None
    """Seconds to the first output of a stream."""
    tags: tuple[str, ...] = ()
    regions: tuple[tuple[str, ...], ...] = ()
    """Where it may be answered: in one of each."""
    priority: int = 0
    cache: Mapping[str, Any] | None = None
    caching: bool | None = None
    is_mock_failure: bool = False
    drops: tuple[str, ...] = ()
    """Members that are left out of the caller's body before anything else."""
    shaping: Shaping = AS_IT_IS
    extra_body: Mapping[str, Any] | None = None
    knobs: Mapping[str, Any] | None = None
    """What is said to a routed model, as it was sent."""

    @property
    def patience(self) -> float | None:
        """Seconds that the caller of a stream waits for its first output."""
        return min((one for one in (self.timeout, self.stream_timeout) if one is not None), default=None)


NOTHING = Wants()


def wants_of(raw: RawWishes | None, headers: Mapping[bytes, bytes], model: str | None) -> Wants:
    """Read the wishes of a body and of the request's ``headers``; :data:`NOTHING` in the usual case.

    :raises InvalidRequest: one of them cannot be understood
    """
    wishes = wishes_of(raw, headers, model)
    return NOTHING if wishes is None else _wants(wishes, model)


def _wants(wishes: Wishes, model: str | None) -> Wants:
    first = model or (wishes.models[0] if wishes.models else None)
    others = [Fallback(name) for name in wishes.models if name != first]
    fallbacks: tuple[Fallback, ...] | None = None
    if others or wishes.fallbacks is not None:
        others += wishes.fallbacks or ()
        fallbacks = tuple(others)
    return Wants(
        wish=Wish(
            fallbacks=fallbacks,
            context_window_fallbacks=wishes.context_window_fallbacks,
            content_policy_fallbacks=wishes.content_policy_fallbacks,
            # A failure that is asked for shall show what follows the group, as LiteLLM's does.
            num_retries=0 if wishes.is_mock_failure else wishes.num_retries,
            is_without_fallbacks=wishes.is_without_fallbacks,
        ),
        model=first,
        timeout=wishes.timeout,
        stream_timeout=wishes.stream_timeout,
        tags=wishes.tags,
        regions=wishes.regions,
        priority=wishes.priority or 0,
        cache=wishes.cache,
        caching=wishes.caching,
        is_mock_failure=wishes.is_mock_failure,
        drops=tuple(wishes.additional_drop_params or ()),
        shaping=_shaping(wishes),
        extra_body=wishes.extra_body,
        knobs=wishes.pointsman,
    )


def _shaping(wishes: Wishes) -> Shaping:
    allowed = wishes.allowed_openai_params
    if not (wishes.drop_params or allowed):
        return AS_IT_IS
    return Shaping(drops_all=wishes.drop_params is True, allowed=frozenset(allowed or ()))
