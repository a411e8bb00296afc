"""Where a vendor of the OpenAI wire differs from it: names of fields, roles, ids of tool calls."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from pointsman.providers.base import Vendor

ID_LETTERS = 9
"""Length of ids that are made to fit; the vendors that are particular about them want nine letters or digits."""


class Quirks:
    """What has to be changed in the body of a chat before a vendor takes it."""

    def __init__(self, vendor: Vendor) -> None:
        self._renames = vendor.renames
        self._drops = vendor.drops
        self._message_drops = vendor.message_drops
        self._has_developer_role = vendor.has_developer_role
        self._fits = None if vendor.tool_id is None else re.compile(vendor.tool_id).fullmatch
        marks = [f'"{name}"'.encode() for name in (*self._renames, *sorted(self._drops | self._message_drops))]
        marks += [] if self._has_developer_role else [b'"developer"']
        marks += [] if self._fits is None else [b'"tool_call_id"', b'"tool_calls"']
        self._marks = tuple(marks)

    def concern(self, body: bytes) -> bool:
        """Whether anything in ``body`` may have to be changed; without one of a few words in it nothing has."""
        return any(body.find(mark) >= 0 for mark in self._marks)

    def fit(self, body: dict[str, Any], lose: Callable[[str], None]) -> dict[str, Any]:
        """``body`` as the vendor takes it; ``lose`` is told of each field that had to be left out.

        Members of messages that only another vendor knows carry nothing here, and are left out without a word.
        """
        fitted = {}
        for name, value in body.items():
            if name in self._drops and value is not None:
                lose(name)
            elif name not in self._renames:
                fitted[name] = value
            elif body.get(self._renames[name]) is None:
                fitted[self._renames[name]] = value
        messages = fitted.get("messages")
        if isinstance(messages, list):
            fitted["messages"] = [self._message(one) if isinstance(one, dict) else one for one in messages]
        return fitted

    def _message(self, message: dict[str, Any]) -> dict[str, Any]:
        if message.get("role") == "developer" and not self._has_developer_role:
            message = message | {"role": "system"}
        if not self._message_drops.isdisjoint(message):
            message = {name: value for name, value in message.items() if name not in self._message_drops}
        if self._fits is None:
            return message
        if isinstance(called := message.get("tool_call_id"), str):
            message = message | {"tool_call_id": self._id(called)}
        if isinstance(calls := message.get("tool_calls"), list):
            message = message | {"tool_calls": [self._call(call) for call in calls]}
        return message

    def _call(self, call: Any) -> Any:
        if isinstance(call, dict) and isinstance(name := call.get("id"), str):
            return call | {"id": self._id(name)}
        return call

    def _id(self, name: str) -> str:
        """The same id, or one that fits and is always the same for it."""
        if self._fits is None or self._fits(name):
            return name
        return sha256(name.encode()).hexdigest()[:ID_LETTERS]


def quirks_of(vendor: Vendor) -> Quirks | None:
    """What is particular about ``vendor``; ``None``: nothing."""
    is_plain = vendor.has_developer_role and not (
        vendor.renames or vendor.drops or vendor.message_drops or vendor.tool_id
    )
    return None if is_plain else Quirks(vendor)
