"""What one call has come to, for whoever made it inside the gateway."""

from __future__ import annotations

import msgspec

from pointsman.wire.usage import Usage


class Used(msgspec.Struct, gc=False):
    """Sums over the attempts of a call, in the very numbers that the ledger has."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nano_usd: int = 0

    def add(self, usage: Usage, nanos: int) -> None:
        """Take in what an attempt has used, and its cost in nano-dollars."""
        self.input_tokens += usage.input_tokens
        self.cached_tokens += usage.cached_input_tokens
        self.output_tokens += usage.output_tokens
        self.reasoning_tokens += usage.reasoning_tokens
        self.cost_nano_usd += nanos
