"""How much the model shall think: ``thinkingConfig``.

Models of the third generation take a level, those before a budget in tokens. Budgets for efforts are those that
Google documents for its OpenAI-compatible API, as is ``low`` for what the Pro models have no lower level for. Other
budgets are kept within what ai.google.dev/gemini-api/docs/thinking says of each model.
"""

from __future__ import annotations

from typing import Any, Final, cast

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.gemini.paths import has_levels
from pointsman.wire.chat import Effort, Reasoning

_BUDGETS: Final[dict[Effort, int]] = {
    "none": 0,
    "minimal": 1024,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 24576,
    "max": 24576,
}
_PRO: Final = (128, 32_768)
_LITE: Final = (512, 24_576)
_FLASH: Final = (0, 24_576)
"""What models with budgets take; those that are not Pro can be kept from thinking by 0."""
_LEVELS: Final[dict[Effort, str]] = {
    "none": "MINIMAL",
    "minimal": "MINIMAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "XHIGH",
    "max": "XHIGH",
}
_EFFORTS: Final[dict[str, str]] = {
    "MINIMAL": "minimal",
    "LOW": "low",
    "MEDIUM": "medium",
    "HIGH": "high",
    "XHIGH": "xhigh",
}


def write_reasoning(reasoning: Reasoning, model: str) -> dict[str, Any]:
    """``thinkingConfig`` for ``model``, possibly empty.

    Thoughts are asked for unless they are not wanted. Thinking cannot be turned off in models that have levels: they
    get the lowest one.
    """
    is_off = reasoning.is_off or reasoning.effort == "none" or reasoning.budget_tokens == 0
    amount = _amount(reasoning, model, is_off=is_off)
    is_shown = reasoning.is_shown
    if is_shown is None and not is_off and (amount or reasoning.is_adaptive or reasoning.summary):
        is_shown = True
    return amount | ({} if is_shown is None else {"includeThoughts": is_shown})


def _amount(reasoning: Reasoning, model: str, *, is_off: bool) -> dict[str, Any]:
    effort: Effort | None = "none" if is_off else reasoning.effort
    budget = reasoning.budget_tokens
    if has_levels(model):
        if effort is not None:
            level = _LEVELS[effort]
            return {"thinkingLevel": "LOW" if level == "MINIMAL" and "pro" in model else level}
        return {} if budget is None else {"thinkingBudget": budget}
    if budget is None and effort is not None:
        budget = _BUDGETS[effort]
    if budget is None and reasoning.is_adaptive:
        budget = -1
    return {} if budget is None else {"thinkingBudget": _fitting(budget, model)}


def _fitting(budget: int, model: str) -> int:
    """The budget, as near as the model takes it; -1 leaves it to the model."""
    if budget < 0:
        return budget
    least, most = _PRO if "pro" in model else _LITE if budget and "lite" in model else _FLASH
    return min(max(budget, least), most)


def read_reasoning(config: dict[str, Any], place: str) -> Reasoning:
    """What a client's ``thinkingConfig``, found at ``place``, asks for.

    :raises InvalidRequest: a member is not valid
    """
    budget, level, shown = config.get("thinkingBudget"), config.get("thinkingLevel"), config.get("includeThoughts")
    if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int)):
        raise InvalidRequest("thinkingBudget must be a whole number", param=f"{place}.thinkingBudget")
    if shown is not None and not isinstance(shown, bool):
        raise InvalidRequest("includeThoughts must be true or false", param=f"{place}.includeThoughts")
    effort = None
    if level is not None and level != "THINKING_LEVEL_UNSPECIFIED":
        effort = _EFFORTS.get(level.upper()) if isinstance(level, str) else None
        if effort is None:
            raise InvalidRequest(f"thinkingLevel must be one of {', '.join(_EFFORTS)}", param=f"{place}.thinkingLevel")
    return Reasoning(
        effort=cast("Effort | None", effort),
        budget_tokens=budget if budget is not None and budget > 0 else None,
        is_adaptive=budget == -1,
        is_off=budget == 0,
        is_shown=shown or False,
    )
