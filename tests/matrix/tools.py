"""What a client can ask for about tools; see :mod:`matrix.asked`."""

from __future__ import annotations

from typing import Any, Final

from matrix.asked import PNG, SCHEMA, Feature, data_url, say

NAME: Final = "weather"
TEXT: Final = "Tells the weather."
ARGUMENTS: Final = {"city": "Rome"}
CALL: Final = "call_1"
DECLARED: Final[dict[str, dict[str, Any]]] = {
    "openai": {
        "tools": [{"type": "function", "function": {"name": NAME, "description": TEXT, "parameters": SCHEMA}}],
    },
    "responses": {
        "tools": [{"type": "function", "name": NAME, "description": TEXT, "parameters": SCHEMA, "strict": False}]
    },
    "anthropic": {"tools": [{"name": NAME, "description": TEXT, "input_schema": SCHEMA}]},
    "gemini": {
        "tools": [{"functionDeclarations": [{"name": NAME, "description": TEXT, "parametersJsonSchema": SCHEMA}]}]
    },
}
_FUNCTION: Final = {"type": "function", "function": {"name": NAME, "description": TEXT, "parameters": SCHEMA}}
_LOOKS_LIKE_JSON: Final = {'{"city":"Rome"}', '{"city": "Rome"}'}
_RESULT: Final = "sunny"


def with_tools(**more: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Requests that declare the tool and say ``more``."""
    return {name: DECLARED[name] | members for name, members in more.items()}


def calling(mode: str, **more: Any) -> dict[str, Any]:
    """Gemini's ``toolConfig``."""
    return {"toolConfig": {"functionCallingConfig": {"mode": mode, **more}}}


def history(*, is_error: bool = False, has_picture: bool = False) -> dict[str, dict[str, Any]]:
    """Requests in which the tool was called and has answered."""
    picture = data_url("image/png", PNG)
    chat: Any = _RESULT
    items: Any = _RESULT
    content: Any = _RESULT
    response: dict[str, Any] = {
        "id": CALL,
        "name": NAME,
        "response": {"error" if is_error else "output": _RESULT},
    }
    if has_picture:
        chat = [{"type": "text", "text": _RESULT}, {"type": "image_url", "image_url": {"url": picture}}]
        items = [{"type": "input_text", "text": _RESULT}, {"type": "input_image", "image_url": picture}]
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
        content = [{"type": "text", "text": _RESULT}, image]
        response["parts"] = [{"inlineData": {"mimeType": "image/png", "data": PNG}}]
    result = {"type": "tool_result", "tool_use_id": CALL, "content": content}
    call = {"id": CALL, "type": "function", "function": {"name": NAME, "arguments": '{"city":"Rome"}'}}
    own_call = {"type": "function_call", "call_id": CALL, "name": NAME, "arguments": '{"city":"Rome"}'}
    all_of_them = with_tools(
        openai={
            "messages": [
                say("user", "Hi"),
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": CALL, "content": chat},
            ]
        },
        responses={
            "input": [say("user", "Hi"), own_call, {"type": "function_call_output", "call_id": CALL, "output": items}]
        },
        anthropic={
            "messages": [
                say("user", "Hi"),
                say("assistant", {"type": "tool_use", "id": CALL, "name": NAME, "input": ARGUMENTS}),
                say("user", result | ({"is_error": True} if is_error else {})),
            ]
        },
        gemini={
            "contents": [
                {"role": "user", "parts": [{"text": "Hi"}]},
                {"role": "model", "parts": [{"functionCall": {"id": CALL, "name": NAME, "args": ARGUMENTS}}]},
                {"role": "user", "parts": [{"functionResponse": response}]},
            ]
        },
    )
    return {name: all_of_them[name] for name in ("anthropic", "gemini")} if is_error else all_of_them


_FREE_TEXT: Final = {"type": "custom", "name": "patch", "description": "Changes files."}
_AS_FUNCTION: Final = {"name": "patch", "description": "Changes files.", "parameters": {"properties": {"input": ...}}}

TOOLS: Final = (
    Feature(
        name="tools",
        asked=DECLARED,
        found={
            "openai": {"tools": [_FUNCTION]},
            "responses": DECLARED["responses"],
            "anthropic": DECLARED["anthropic"],
            "gemini": DECLARED["gemini"],
            "converse": {
                "toolConfig": {
                    "tools": [{"toolSpec": {"name": NAME, "description": TEXT, "inputSchema": {"json": SCHEMA}}}]
                }
            },
            "cohere": {"tools": [_FUNCTION]},
            "ollama": {"tools": [_FUNCTION]},
        },
    ),
    Feature(
        name="forced tool",
        asked=with_tools(
            openai={"tool_choice": {"type": "function", "function": {"name": NAME}}},
            responses={"tool_choice": {"type": "function", "name": NAME}},
            anthropic={"tool_choice": {"type": "tool", "name": NAME}},
            gemini=calling("ANY", allowedFunctionNames=[NAME]),
        ),
        found={
            "openai": {"tool_choice": {"type": "function", "function": {"name": NAME}}},
            "responses": {"tool_choice": {"type": "function", "name": NAME}},
            "anthropic": {"tool_choice": {"type": "tool", "name": NAME}},
            "gemini": calling("ANY", allowedFunctionNames=[NAME]),
            "converse": {"toolConfig": {"toolChoice": {"tool": {"name": NAME}}}},
            "cohere": {"tool_choice": "REQUIRED"},
        },
    ),
    Feature(
        name="some tool",
        asked=with_tools(
            openai={"tool_choice": "required"},
            responses={"tool_choice": "required"},
            anthropic={"tool_choice": {"type": "any"}},
            gemini=calling("ANY"),
        ),
        found={
            "openai": {"tool_choice": "required"},
            "responses": {"tool_choice": "required"},
            "anthropic": {"tool_choice": {"type": "any"}},
            "gemini": calling("ANY"),
            "converse": {"toolConfig": {"toolChoice": {"any": {}}}},
            "cohere": {"tool_choice": "REQUIRED"},
        },
    ),
    Feature(
        name="no tool",
        asked=with_tools(
            openai={"tool_choice": "none"},
            responses={"tool_choice": "none"},
            anthropic={"tool_choice": {"type": "none"}},
            gemini=calling("NONE"),
        ),
        found={
            "openai": {"tool_choice": "none"},
            "responses": {"tool_choice": "none"},
            "anthropic": {"tool_choice": {"type": "none"}},
            "gemini": calling("NONE"),
            "converse": lambda body: "toolConfig" not in body,
            "cohere": {"tool_choice": "NONE"},
            "ollama": lambda body: "tools" not in body,
        },
    ),
    Feature(
        name="one tool call at a time",
        asked=with_tools(
            openai={"parallel_tool_calls": False},
            responses={"parallel_tool_calls": False},
            anthropic={"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        ),
        found={
            "openai": {"parallel_tool_calls": False},
            "responses": {"parallel_tool_calls": False},
            "anthropic": {"tool_choice": {"disable_parallel_tool_use": True}},
            "converse": {"additionalModelRequestFields": {"tool_choice": {"disable_parallel_tool_use": True}}},
        },
    ),
    Feature(
        name="tool held to its schema",
        asked={
            "openai": {
                "tools": [{"type": "function", "function": {"name": NAME, "parameters": SCHEMA, "strict": True}}]
            },
            "responses": {"tools": [{"type": "function", "name": NAME, "parameters": SCHEMA, "strict": True}]},
            "anthropic": {"tools": [{"name": NAME, "input_schema": SCHEMA, "strict": True}]},
            "gemini": DECLARED["gemini"] | calling("VALIDATED"),
        },
        found={
            "openai": {"tools": [{"function": {"name": NAME, "strict": True}}]},
            "responses": {"tools": [{"name": NAME, "strict": True}]},
            "anthropic": {"tools": [{"name": NAME, "strict": True}]},
            "gemini": calling("VALIDATED"),
            "converse": {"toolConfig": {"tools": [{"toolSpec": {"name": NAME, "strict": True}}]}},
            "cohere": {"strict_tools": True},
        },
    ),
    Feature(
        name="tool that takes free text",
        asked={
            "openai": {"tools": [{"type": "custom", "custom": {"name": "patch", "description": "Changes files."}}]},
            "responses": {"tools": [_FREE_TEXT]},
        },
        found={
            "openai": {"tools": [{"type": "custom", "custom": {"name": "patch", "description": "Changes files."}}]},
            "responses": {"tools": [_FREE_TEXT]},
            "anthropic": {"tools": [{"name": "patch", "input_schema": {"properties": {"input": ...}}}]},
            "gemini": {"tools": [{"functionDeclarations": [{"name": "patch"}]}]},
            "converse": {"toolConfig": {"tools": [{"toolSpec": {"name": "patch"}}]}},
            "cohere": {"tools": [{"function": _AS_FUNCTION}]},
            "ollama": {"tools": [{"function": _AS_FUNCTION}]},
        },
    ),
    Feature(
        name="provider's own tool (web search)",
        asked={
            "openai": {"web_search_options": {}},
            "responses": {"tools": [{"type": "web_search"}]},
            "anthropic": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            "gemini": {"tools": [{"googleSearch": {}}]},
        },
        found={
            "openai": {"web_search_options": ...},
            "responses": {"tools": [{"type": "web_search"}]},
            "anthropic": {"tools": [{"type": "web_search_20250305"}]},
            "gemini": {"tools": [{"googleSearch": ...}]},
        },
    ),
    Feature(
        name="tool call and its result",
        asked=history(),
        found={
            "openai": {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{"id": CALL, "function": {"name": NAME, "arguments": _LOOKS_LIKE_JSON}}],
                    },
                    {"role": "tool", "tool_call_id": CALL, "content": _RESULT},
                ]
            },
            "responses": {
                "input": [
                    {"type": "function_call", "call_id": CALL, "name": NAME, "arguments": _LOOKS_LIKE_JSON},
                    {"type": "function_call_output", "call_id": CALL, "output": {_RESULT}},
                ]
            },
            "anthropic": {
                "messages": [
                    {"role": "assistant", "content": [{"type": "tool_use", "id": CALL, "input": ARGUMENTS}]},
                    {
                        "role": "user",
                        "content": [{"type": "tool_result", "tool_use_id": CALL, "content": [{"text": _RESULT}]}],
                    },
                ]
            },
            "gemini": {
                "contents": [
                    {"role": "model", "parts": [{"functionCall": {"name": NAME, "args": ARGUMENTS}}]},
                    {
                        "role": "user",
                        "parts": [{"functionResponse": {"name": NAME, "response": {"output": _RESULT}}}],
                    },
                ]
            },
            "converse": {
                "messages": [
                    {"role": "assistant", "content": [{"toolUse": {"toolUseId": CALL, "input": ARGUMENTS}}]},
                    {
                        "role": "user",
                        "content": [{"toolResult": {"toolUseId": CALL, "content": [{"text": _RESULT}]}}],
                    },
                ]
            },
            "cohere": {
                "messages": [
                    {"tool_calls": [{"id": CALL, "function": {"name": NAME, "arguments": _LOOKS_LIKE_JSON}}]},
                    {"role": "tool", "tool_call_id": CALL, "content": _RESULT},
                ]
            },
            "ollama": {
                "messages": [
                    {"tool_calls": [{"function": {"name": NAME, "arguments": ARGUMENTS}}]},
                    {"role": "tool", "tool_name": NAME, "content": _RESULT},
                ]
            },
        },
    ),
    Feature(
        name="tool result that is an error",
        asked=history(is_error=True),
        found={
            "anthropic": {"messages": [{"content": [{"tool_use_id": CALL, "is_error": True}]}]},
            "gemini": {"contents": [{"parts": [{"functionResponse": {"response": {"error": _RESULT}}}]}]},
            "converse": {"messages": [{"content": [{"toolResult": {"toolUseId": CALL, "status": "error"}}]}]},
        },
        otherwise=frozenset({"openai", "responses", "cohere", "ollama"}),
    ),
    Feature(
        name="image in a tool result",
        asked=history(has_picture=True),
        found={
            "openai": {
                "messages": [
                    {"role": "tool", "content": _RESULT},
                    {"role": "user", "content": [{"image_url": {"url": data_url("image/png", PNG)}}]},
                ]
            },
            "responses": {
                "input": [
                    {
                        "type": "function_call_output",
                        "output": [{"text": _RESULT}, {"image_url": data_url("image/png", PNG)}],
                    }
                ]
            },
            "anthropic": {
                "messages": [
                    {"content": [{"tool_use_id": CALL, "content": [{"type": "image", "source": {"data": PNG}}]}]}
                ]
            },
            "gemini": {
                "contents": [
                    {"parts": [{"functionResponse": {"name": NAME, "parts": [{"inlineData": {"data": PNG}}]}}]}
                ]
            },
            "converse": {
                "messages": [{"content": [{"toolResult": {"content": [{"image": {"source": {"bytes": PNG}}}]}}]}]
            },
            "cohere": {
                "messages": [
                    {"role": "tool", "content": _RESULT},
                    {"role": "user", "content": [{"image_url": {"url": data_url("image/png", PNG)}}]},
                ]
            },
            "ollama": {"messages": [{"role": "tool", "images": [PNG]}]},
        },
    ),
)
