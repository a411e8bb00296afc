"""Think and route in turns (Router-R1, arXiv 2506.09033): a controller reasons, asks models of the pool, and answers.

Any chat model can be the controller. It asks by calling a tool; one that knows no tools, or was trained on the tags of
the original, can write ``<search> model: question </search>`` and ``<answer>…</answer>`` instead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from pointsman.routing.procedures.base import (
    Answer,
    Ask,
    Ending,
    Plan,
    Pooled,
    Reply,
    Steps,
    ask,
    is_plain,
    prompt,
    quoted,
    text_of,
)
from pointsman.routing.procedures.multiround import SUB_QUERY, SUB_QUERY_TOKENS, described
from pointsman.routing.procedures.settings import ProcedureSettings
from pointsman.wire import chat
from pointsman.wire.chat import ChatRequest, Text, Tool, ToolChoice, ToolResult, Turn

THINK: Final = (
    "Think about what is needed to answer the user well. Where another model knows better than you or can check you, "
    "ask it with the tool ask_model: a question of its own, understandable without this conversation. Prefer cheap "
    "models, ask several at once where that helps, and ask nothing that you know. (Without tools write "
    "<search> model: question </search>; what it says comes back in <information>.) As soon as you know enough, write "
    "the answer itself, with nothing about models or asking.\nThe models:\n{pool}"
)
LAST: Final = "[No further question can be asked. Write the answer now.]"
UNREACHED: Final = "(no answer)"
MAX_INFORMATION: Final = 6000
MAX_AT_ONCE: Final = 4
"""Questions of one round."""
OURS: Final = frozenset({"tools", "tool_choice"})
"""What a controller may have to do without: it can write tags."""
_SEARCH: Final = re.compile(r"<search>\s*(?P<model>[^:<]{1,200}):(?P<query>.*?)</search>", re.DOTALL)
_SAID: Final = re.compile(r"<answer>(?P<text>.*?)(?:</answer>|\Z)", re.DOTALL)
_THOUGHT: Final = re.compile(r"<think>.*?(?:</think>\s*|\Z)", re.DOTALL)


class _Asked(msgspec.Struct):
    model: str
    query: str


_ASKED: Final = msgspec.json.Decoder(_Asked)


def r1(request: ChatRequest, pool: Sequence[Pooled], settings: ProcedureSettings) -> Steps[Ending]:
    """Let the controller think and ask for some rounds; its last words are the answer."""
    if not is_plain(request):
        return Plan(pool[0].name, request)
    controller = settings.controller or pool[0].name
    thinking = _thinking(request, pool)
    for _ in range(settings.max_rounds):
        (reply,) = yield from ask(Ask(candidate=controller, request=thinking, purpose="think", is_own=False, ours=OURS))
        if reply.answer is None:
            break
        asked = questions(reply, pool)
        if not asked:
            said = answer_of(reply)
            return Answer(controller, said, "think") if said is not None else Plan(pool[0].name, request)
        replies = yield from ask(*(one for one in asked if isinstance(one, Ask)))
        if not any(one.answer for one in replies) and not any(isinstance(one, str) for one in asked):
            break
        thinking = told(thinking, reply, informed(asked, replies))
    else:
        return Plan(controller, _last(thinking), ours=OURS)
    has_asked = len(thinking.turns) > len(request.turns) + 1
    return Plan(controller, _last(thinking), ours=OURS) if has_asked else Plan(pool[0].name, request)


def questions(reply: Reply, pool: Sequence[Pooled]) -> list[Ask | str]:
    """What the controller asks; in the place of what cannot be asked, what it is told instead."""
    names = {one.name for one in pool}
    if reply.calls:
        return [_question(call.arguments, names) for call in reply.calls[:MAX_AT_ONCE]]
    text = without_thoughts(reply.text)
    found = list(_SEARCH.finditer(text))[:MAX_AT_ONCE] if _SEARCH.match(text) else []
    return [_question(msgspec.json.encode(_Asked(one["model"].strip(), one["query"].strip())), names) for one in found]


def informed(asked: Sequence[Ask | str], replies: Sequence[Reply]) -> list[str]:
    """What the controller gets for what it has asked."""
    left = iter(replies)
    return [one if isinstance(one, str) else quoted(next(left).text or UNREACHED, MAX_INFORMATION) for one in asked]


def told(thinking: ChatRequest, reply: Reply, information: Sequence[str]) -> ChatRequest:
    """The controller's conversation, with its questions and what has come of them."""
    calls = reply.calls
    if calls:
        # A provider that wants each call answered shall not fail for those that were too many.
        texts = [*information, *["(too many questions at once)"] * (len(calls) - len(information))]
        results = [
            ToolResult(call_id=call.id, name=call.name, parts=[Text(text)])
            for call, text in zip(calls, texts, strict=True)
        ]
        turns = [Turn("assistant", list(reply.parts)), Turn("user", [*results])]
    else:
        text = "\n".join(f"<information>{one}</information>" for one in information)
        turns = [Turn("assistant", [Text(reply.text)]), Turn("user", [Text(text)])]
    return msgspec.structs.replace(thinking, turns=[*thinking.turns, *turns])


def answer_of(reply: Reply) -> chat.Answer | None:
    """The controller's answer without its thoughts; ``None``: it has said nothing."""
    assert reply.answer is not None
    text = without_thoughts(text_of([part for part in reply.parts if isinstance(part, Text)]))
    found = _SAID.match(text)
    text = (found["text"] if found else text).strip()
    if not text:
        return None
    first = msgspec.structs.replace(reply.answer.choices[0], parts=[Text(text)])
    return msgspec.structs.replace(reply.answer, choices=[first])


def without_thoughts(text: str) -> str:
    """What is said after the thoughts that ``text`` begins with: tags elsewhere are what it is about."""
    text = text.lstrip()
    while (found := _THOUGHT.match(text)) is not None:
        text = text[found.end() :]
    return text


def _thinking(request: ChatRequest, pool: Sequence[Pooled]) -> ChatRequest:
    """The client's request, for a controller that can ask."""
    own = prompt(THINK.format(pool=described(pool)))
    return msgspec.structs.replace(
        request,
        turns=[*own.turns, *request.turns],
        tools=[_tool([one.name for one in pool])],
        tool_choice=ToolChoice(mode="auto"),
        stream=False,
    )


def _last(thinking: ChatRequest) -> ChatRequest:
    *before, last = thinking.turns
    turns = [*before, Turn(last.role, [*last.parts, Text(LAST)])]
    # Tools stay declared: there are providers that refuse calls of tools that are not.
    return msgspec.structs.replace(thinking, turns=turns, tool_choice=ToolChoice(mode="none"))


def _question(arguments: str | bytes, names: set[str]) -> Ask | str:
    try:
        asked = _ASKED.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return "(give a model and a query)"
    if asked.model not in names:
        return f"(there is no model {asked.model[:100]!r})"
    request = prompt(SUB_QUERY, asked.query, max_tokens=SUB_QUERY_TOKENS)
    return Ask(candidate=asked.model, request=request, purpose="sub-query")


def _tool(names: Sequence[str]) -> Tool:
    return Tool(
        name="ask_model",
        description="Ask one of the models a question and get its answer.",
        schema={
            "type": "object",
            "properties": {"model": {"type": "string", "enum": list(names)}, "query": {"type": "string"}},
            "required": ["model", "query"],
            "additionalProperties": False,
        },
    )
