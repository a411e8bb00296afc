"""What the demo says, and how its tokens are counted."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.providers.vendors.demo.names import DemoModel

BYTES_PER_TOKEN = 4
_MAX_QUOTE = 400
_MAX_STOPS = 16
_WORD = re.compile(r"\s*\S+\s*?")


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What the client said, as far as the demo looks at it."""

    last: str
    """The last text of the user."""
    n_texts: int
    n_tokens: int
    tools: tuple[str, ...] = ()


def count_tokens(text: str) -> int:
    """A plain estimate: four bytes are a token, begun ones count."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def split_words(text: str) -> list[str]:
    """Pieces that give the text back when joined."""
    pieces = _WORD.findall(text)
    rest = text[sum(map(len, pieces)) :]
    return [*pieces, rest] if rest else pieces


def compose(model: DemoModel, said: Said, *, variant: int = 0, as_json: bool = False) -> str:
    """The demo's answer: one, two or four paragraphs by the size of the model."""
    text = "\n\n".join(_paragraphs(model, said, variant)[: model.paragraphs])
    if as_json:
        return msgspec.json.encode({"is_demo": True, "message": text}).decode()
    return text


def _paragraphs(model: DemoModel, said: Said, variant: int) -> tuple[str, ...]:
    quote = said.last if len(said.last) <= _MAX_QUOTE else said.last[:_MAX_QUOTE] + "…"
    again = f" (variant {variant + 1})" if variant else ""
    tools = f" It was offered the tools {', '.join(said.tools)} and calls none." if said.tools else ""
    notice = (
        f"This is Pointsman's built-in demo model ({model.name}){again}, not an AI: it only shows that the "
        f"gateway works. You said: “{quote}”"
    )
    counts = (
        f"Your request held {said.n_texts} text{'' if said.n_texts == 1 else 's'}, about {said.n_tokens} "
        f"tokens.{tools} It was checked, routed, answered and counted like any other, so usage, cost and "
        "latency show up in the reply headers and under /metrics."
    )
    next_step = (
        "For answers of a real model, put a provider's key into the environment (OPENAI_API_KEY, "
        "ANTHROPIC_API_KEY, GEMINI_API_KEY …) and start the gateway again, or name deployments in a "
        "config file: each entry of model_list has a model_name, which clients send, and litellm_params "
        "with the provider's model, key and address."
    )
    sizes = (
        "Several deployments under one model_name share its traffic. The sizes small, medium and large of "
        "this demo differ in length, pace and price, as real ones do; this was the large one. Nothing you "
        "sent has left the gateway."
    )
    return notice, counts, next_step, sizes


def cut(text: str, *, stops: list[str], max_tokens: int | None) -> tuple[str, bool]:
    """The text up to the first stop sequence and the token limit; and whether the limit cut it."""
    for stop in stops:
        text = text.partition(stop)[0]
    if max_tokens is None:
        return text, False
    raw = text.encode()
    limit = max_tokens * BYTES_PER_TOKEN
    return (text, False) if len(raw) <= limit else (raw[:limit].decode(errors="ignore"), True)


def stops_of(body: dict[str, Any]) -> list[str]:
    """``stop``: a text or a list of texts."""
    value = body.get("stop")
    stops = [value] if isinstance(value, str) else value or []
    if not isinstance(stops, list) or len(stops) > _MAX_STOPS or not all(isinstance(s, str) for s in stops):
        raise InvalidRequest("stop must be a text or a list of texts", param="stop")
    return [stop for stop in stops if stop]


def content_text(content: Any, param: str) -> str:
    """The text of a message's content: a text, null, or parts of which the texts count."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise InvalidRequest("content must be a text, null or a list of parts", param=param)
    return " ".join(part["text"] for part in content if isinstance(part.get("text"), str))


def tool_names(body: dict[str, Any]) -> tuple[str, ...]:
    """Names of the offered tools, in the chat and in the Responses shape."""
    tools = body.get("tools")
    if tools is None:
        return ()
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise InvalidRequest("tools must be a list of objects", param="tools")
    names = []
    for tool in tools[:16]:
        function = tool.get("function")
        name = function.get("name") if isinstance(function, dict) else tool.get("name") or tool.get("type")
        names.append(str(name)[:64])
    return tuple(names)


def read_turns(turns: Any, param: str) -> Said:
    """What a list of messages (chat) or of input items (Responses) says."""
    if not isinstance(turns, list) or not turns:
        raise InvalidRequest(f"{param} must be a list that is not empty", param=param)
    texts: list[str] = []
    last = ""
    for index, turn in enumerate(turns):
        if not isinstance(turn, dict):
            raise InvalidRequest(f"{param}[{index}] must be an object", param=f"{param}[{index}]")
        text = content_text(turn.get("content"), f"{param}[{index}].content")
        texts.append(text)
        if turn.get("role") == "user":
            last = text
    joined = "".join(texts)
    return Said(last=last or texts[-1], n_texts=len(texts), n_tokens=count_tokens(joined) + 4 * len(texts))
