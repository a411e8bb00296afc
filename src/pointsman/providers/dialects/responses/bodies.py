"""A request for a provider, written.

Nothing is stored there: the conversation is whole in each request, and reasoning comes back encrypted where it was
asked for or the model is known to reason. It is not asked for otherwise: models that do not reason refuse to encrypt.
"""

from __future__ import annotations

import re
from typing import Any, Final

from pointsman.providers.dialects.responses.content import PartWriter
from pointsman.providers.dialects.responses.fields import Members
from pointsman.providers.dialects.responses.items import ItemWriter
from pointsman.providers.dialects.responses.requests import ENCRYPTED, LOGPROBS
from pointsman.providers.dialects.responses.seals import NAME
from pointsman.providers.dialects.responses.tools import ToolNames, write_choice, write_tools
from pointsman.providers.translation import Terms
from pointsman.wire.chat import ChatRequest, Effort, Format, Reasoning, Text, Turn

_OPTIONS: Final = frozenset(
    {
        "metadata",
        "moderation",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
    }
)
_OWN_WAY: Final = frozenset({"store", "verbosity", "web_search_options"})
"""Options that are written, but not as they are."""
_MEANS_NOTHING: Final[dict[str, Any]] = {
    "logit_bias": {},
    "modalities": ["text"],
    "n": 1,
    "frequency_penalty": 0,
    "presence_penalty": 0,
}
"""Values of what this dialect has not that ask for nothing."""
_CALLERS: Final[dict[str, dict[str, str]]] = {
    "anthropic": {"stop": "stop_sequences"},
    "gemini": {
        "stop": "generationConfig.stopSequences",
        "top_k": "generationConfig.topK",
        "seed": "generationConfig.seed",
        "n": "generationConfig.candidateCount",
        "presence_penalty": "generationConfig.presencePenalty",
        "frequency_penalty": "generationConfig.frequencyPenalty",
    },
}
"""What callers of other dialects call what cannot be said."""
_BUDGETS: Final[tuple[tuple[int, Effort], ...]] = ((5_000, "low"), (10_000, "medium"))
"""Tokens of thinking below which an effort is meant, as LiteLLM reads Anthropic's budgets; more is ``high``.
``minimal`` is not among them: models from gpt-5.1 on refuse it."""
_REASONING: Final = re.compile(r"(?:.*/)?(?:o\d|gpt-(?:[5-9]|\d\d))")
"""Names of OpenAI's models that reason. Those of deployments on Azure say nothing."""
_WITH_NONE: Final = re.compile(r"(?:.*/)?gpt-(?:5\.\d|[6-9]|\d\d)")
"""Of those that can be told not to."""


def write_request(request: ChatRequest, terms: Terms) -> Members:
    """The body for the provider; what it cannot say is noted in ``terms``."""
    body = _Body(request, terms)
    body.write_conversation()
    body.write_tools()
    body.write_settings()
    body.write_text()
    body.write_reasoning()
    body.write_options()
    body.write_unknown()
    if request.cache is not None:
        terms.lose("cache_control")
    return body.members


class _Body:
    """The body as it grows."""

    def __init__(self, request: ChatRequest, terms: Terms) -> None:
        self.request = request
        self.terms = terms
        self.members: Members = {"model": terms.model, "input": [], "store": False}
        if request.stream:
            self.members["stream"] = True

    def write_conversation(self) -> None:
        request = self.request
        marks = PartWriter(self.terms, has_marks=request.dialect in (NAME, "openai"))
        items = ItemWriter(marks, ToolNames(request.tools), request.dialect)
        for at, turn in enumerate(request.turns):
            instructions = _instructions(turn) if at == 0 else None
            if instructions is not None:
                self.members["instructions"] = instructions
            else:
                items.write(turn, at)
        self.members["input"] = items.items

    def write_tools(self) -> None:
        request = self.request
        tools = self._wanted(write_tools(request.tools, self.terms), "tools") or []
        search = self._wanted(request.options.get("web_search_options"), "web_search_options")
        if isinstance(search, dict):
            tools.append(_web_search(search))
        if any(tool.cache is not None for tool in request.tools):
            self.terms.lose("cache_control")
        if not tools:
            return
        self.members["tools"] = tools
        self._put("parallel_tool_calls", request.parallel_tool_calls)
        choice = self._wanted(request.tool_choice, "tool_choice")
        if choice is not None:
            written = write_choice(choice, request.tools, request.dialect)
            if written is None:
                self.terms.lose("tool_choice")
            else:
                self.members["tool_choice"] = written

    def write_settings(self) -> None:
        request = self.request
        self._put("max_output_tokens", request.max_tokens, "max_tokens", "max_completion_tokens")
        self._put("temperature", request.temperature)
        self._put("top_p", request.top_p)
        self._put("user", request.user)
        if self._wanted(request.logprobs, "logprobs"):
            self.members["include"] = [LOGPROBS]
        self._put("top_logprobs", request.top_logprobs)

    def write_text(self) -> None:
        form = self._wanted(self.request.format, "response_format", "text")
        text: Members = {} if form is None else {"format": _write_format(form)}
        verbosity = self._wanted(self.request.options.get("verbosity"), "verbosity", "text")
        if verbosity is not None:
            text["verbosity"] = verbosity
        if text:
            self.members["text"] = text

    def write_reasoning(self) -> None:
        reasoning = self._wanted(self.request.reasoning, "reasoning_effort", "reasoning", "thinking")
        if reasoning is None:
            return
        written: Members = {}
        effort = _effort(reasoning, self.terms.model)
        if effort is not None:
            written["effort"] = effort
        # Models that do not reason refuse the rest.
        reasons = effort is not None or (not reasoning.is_off and _REASONING.match(self.terms.model) is not None)
        summary = reasoning.summary or ("auto" if reasoning.is_shown and reasons else None)
        if summary is not None:
            written["summary"] = summary
        if written:
            self.members["reasoning"] = written
        if effort != "none" and (reasons or reasoning.is_encrypted_wanted):
            self.members.setdefault("include", []).append(ENCRYPTED)

    def write_options(self) -> None:
        for name, value in self.request.options.items():
            if name in _OPTIONS:
                self._put(name, value)
            elif name not in _OWN_WAY:
                self._lose(name, value)
        if self._wanted(self.request.options.get("store"), "store"):
            self.members["store"] = True

    def write_unknown(self) -> None:
        request = self.request
        self._lose("top_k", request.top_k)
        self._lose("stop", request.stop or None)
        self._lose("seed", request.seed)
        self._lose("n", request.n)
        self._lose("presence_penalty", request.presence_penalty)
        self._lose("frequency_penalty", request.frequency_penalty)
        for name, value in request.extras.items():
            if request.dialect in (NAME, "openai"):
                self._add(name, value)
            else:
                self._lose(name, value)

    def _wanted(self, value: Any, *names: str) -> Any:
        """``value`` unless one of its names is to be dropped."""
        return None if value is None or not self.terms.drops.isdisjoint(names) else value

    def _put(self, name: str, value: Any, *other_names: str) -> None:
        if self._wanted(value, name, *other_names) is not None:
            self.members[name] = value

    def _add(self, name: str, value: Any) -> None:
        """Write what was carried, beside what stands there already."""
        if self._wanted(value, name) is None:
            return
        there = self.members.get(name)
        if isinstance(there, dict) and isinstance(value, dict):
            value = there | value
        elif isinstance(there, list) and isinstance(value, list):
            value = there + value
        self.members[name] = value

    def _lose(self, name: str, value: Any) -> None:
        if self._wanted(value, name) is None or (name in _MEANS_NOTHING and value == _MEANS_NOTHING[name]):
            return
        if name in self.terms.allowed:
            self.members[name] = value
        else:
            self.terms.lose(_CALLERS.get(self.request.dialect, {}).get(name, name))


def _instructions(turn: Turn) -> str | None:
    """A first turn of the system as ``instructions``, where nothing of it is lost by that."""
    if turn.role != "system" or len(turn.parts) != 1 or turn.name is not None or turn.extras:
        return None
    part = turn.parts[0]
    return part.text if isinstance(part, Text) and part.cache is None else None


def _web_search(options: Members) -> Members:
    """Chat's ``web_search_options`` as the tool that they are here."""
    tool = {"type": "web_search", **options}
    location = options.get("user_location")
    if isinstance(location, dict) and isinstance(location.get("approximate"), dict):
        tool["user_location"] = {"type": "approximate", **location["approximate"]}
    return tool


def _write_format(form: Format) -> Members:
    if form.kind == "json":
        return {"type": "json_object"}
    written: Members = {"type": "json_schema", "name": form.name or "answer", "schema": form.schema or {}}
    if form.description is not None:
        written["description"] = form.description
    return written if form.is_strict is None else written | {"strict": form.is_strict}


def _effort(reasoning: Reasoning, model: str) -> Effort | None:
    """The caller's, or what comes nearest; nothing is said of what the model would refuse to be told."""
    budget = reasoning.budget_tokens
    if reasoning.effort is not None:
        return reasoning.effort
    if reasoning.is_off:
        return "none" if _WITH_NONE.match(model) is not None else None
    return None if budget is None else next((effort for below, effort in _BUDGETS if budget < below), "high")
