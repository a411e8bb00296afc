"""Writing a conversation: what is the system's apart, the rest as turns of the user and the assistant by turns."""

from __future__ import annotations

from typing import Any

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.anthropic.blocks import Writing, write_parts
from pointsman.wire.chat import Turn

_Message = dict[str, Any]


class Conversation:
    """Takes turns one by one.

    * Turns of the same role that follow each other become one message.
    * The results of tools come first in a message of the user, as the API insists.
    * System messages at the beginning become the system prompt. Later ones stay where the model takes them, after
      a message of the user with nothing of the user's following; otherwise they join the system prompt.
    """

    def __init__(self, writing: Writing, *, takes_system_within: bool) -> None:
        self.system: list[_Message] = []
        self._messages: list[_Message] = []
        self._waiting: list[_Message] = []
        self._writing = writing
        self._takes_system_within = takes_system_within

    def add(self, turn: Turn, at: str, *, is_own: bool) -> None:
        """Take the turn that stands at ``at``; ``is_own``: it was written in this dialect.

        :raises InvalidRequest: it cannot be expressed
        """
        blocks = write_parts(turn.parts, turn.role, at, self._writing)
        if turn.role in {"user", "assistant"}:
            self._append(turn.role, blocks)
        elif self._messages and self._takes_system_within:
            self._waiting += blocks
        else:
            self.system += blocks
        if turn.name is not None:
            self._writing.lose(f"{at}.name")
        if is_own and self._messages:
            self._messages[-1] |= turn.extras
        else:
            for name in turn.extras:
                self._writing.lose(f"{at}.{name}")

    def messages(self) -> list[_Message]:
        """Give the messages of all turns.

        :raises InvalidRequest: there are none
        """
        self._place_waiting()
        self.system += self._waiting
        if not self._messages:
            raise InvalidRequest("This model needs a message of the user beside the system's", param="messages")
        for message in self._messages:
            if message["role"] == "user":
                message["content"].sort(key=lambda block: block.get("type") != "tool_result")
        self._trim_prefill()
        return self._messages

    def _append(self, role: str, blocks: list[_Message]) -> None:
        if not blocks:
            return
        if role == "assistant":
            self._place_waiting()
        if self._messages and self._messages[-1]["role"] == role:
            self._messages[-1]["content"] += blocks
        else:
            self._messages.append({"role": role, "content": blocks})

    def _place_waiting(self) -> None:
        if self._waiting and self._messages[-1]["role"] == "user":
            self._messages.append({"role": "system", "content": self._waiting})
            self._waiting = []

    def _trim_prefill(self) -> None:
        """The beginning of an answer may not end in white space."""
        last = self._messages[-1]
        if last["role"] == "assistant" and last["content"][-1].get("type") == "text":
            last["content"][-1] |= {"text": last["content"][-1]["text"].rstrip()}
