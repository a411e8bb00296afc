"""Lines of a batch in the words of a provider that speaks another dialect, and its answers in those of the lines."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.batches.protocol.lines import LineRequest
from pointsman.batches.protocol.providers.base import looked_at
from pointsman.errors import GatewayError
from pointsman.pipeline.outgoing import takes_custom_tools
from pointsman.pipeline.translate import AS_IT_IS, Conversation, Translation, judge
from pointsman.providers.codecs import INBOUND
from pointsman.providers.custom_tools import as_functions, custom_names
from pointsman.providers.translation import Outbound, Terms
from pointsman.wire.chat import ChatRequest
from pointsman.wire.usage import Usage

_encode: Final = msgspec.json.Encoder().encode


class Reply(msgspec.Struct, frozen=True):
    """With what an answer is written."""

    model: str
    """The public name."""
    unique: str
    """Letters and digits that no other reply has."""
    created: int
    """Unix time in seconds."""


class Wording(msgspec.Struct, frozen=True, kw_only=True):
    """How conversations are put to a provider, as those of clients are."""

    outbound: Outbound
    vendor: str
    model: str
    """What the provider calls it."""
    max_output_tokens: int | None = None
    merges_reasoning: bool = False

    def asked(self, request: LineRequest) -> dict[str, Any]:
        """The body for the provider.

        :raises InvalidRequest: it cannot be put so, or the gateway itself would have to do something about it
        """
        looked_at(request)
        chat = self._read(request)
        custom = self._custom(chat)
        terms = Terms(model=self.model, max_output_tokens=self.max_output_tokens, lost=[])
        body = self.outbound.write_request(as_functions(chat) if custom else chat, terms)
        judge(terms, AS_IT_IS, self.vendor)
        return body

    def answered(self, request: LineRequest, answer: bytes, reply: Reply) -> tuple[bytes, Usage]:
        """What the provider has answered to a line, as whoever has sent it expects it.

        :raises UpstreamBroken: it is no answer
        """
        chat = self._read(request)
        read = self.outbound.read_answer(answer)
        translation = Translation(
            outbound=self.outbound,
            inbound=INBOUND[request.operation.name],
            request=chat,
            merges_reasoning=self.merges_reasoning,
            custom=self._custom(chat),
        )
        body = translation.write(read, translation.terms(reply.model, reply.unique, reply.created))
        return _encode(body), read.usage or Usage()

    def _read(self, request: LineRequest) -> ChatRequest:
        conversation = Conversation(request.body, request.operation, request.operation)
        return conversation.request({}, {}, self.model, is_stream=False)

    def _custom(self, chat: ChatRequest) -> frozenset[str]:
        return frozenset() if takes_custom_tools(self.outbound, self.vendor) else custom_names(chat)


def refused(request: LineRequest, error: GatewayError) -> bytes:
    """The body of an error, as whoever has sent the line expects it."""
    return INBOUND[request.operation.name].error_body(error)
