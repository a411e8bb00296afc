"""What providers answer to lines that were put into their words."""

from __future__ import annotations

from pointsman.batches.protocol.lines import LineRequest
from pointsman.batches.protocol.providers.base import OK, Got
from pointsman.batches.protocol.providers.wording import Reply, Wording, refused
from pointsman.batches.remotes.base import Order
from pointsman.errors import GatewayError, UpstreamBroken
from pointsman.pipeline.targets import Target
from pointsman.providers.failures import classify
from pointsman.wire.usage import Usage


class Translator:
    """Between the dialects of lines and that of one deployment."""

    def __init__(self, target: Target) -> None:
        self._target = target
        deployment = target.deployment
        self.wording = Wording(
            outbound=target.outbound(target.batch_model),
            vendor=deployment.vendor.name,
            model=target.batch_model,
            max_output_tokens=deployment.max_output_tokens,
            merges_reasoning=deployment.merges_reasoning,
        )

    async def got(self, order: Order, number: int, status: int, body: bytes, request_id: str) -> Got | None:
        """What has come of a line, in its own dialect; ``None``: there is no such line."""
        request = await order.request(number)
        if request is None:
            return None
        if status != OK:
            secrets, address = self._target.secrets, self._target.address
            error = classify(status, [], body, secrets=secrets, address=address, now=order.now())
            return _failed(number, request, error, request_id)
        unique = "".join(filter(str.isalnum, f"{order.mark}{number}"))
        try:
            told, usage = self.wording.answered(request, body, Reply(order.model, unique, int(order.now())))
        except UpstreamBroken as error:
            return _failed(number, request, error, request_id)
        return Got(number, OK, told, request_id, usage)


def _failed(number: int, request: LineRequest, error: GatewayError, request_id: str) -> Got:
    return Got(number, error.status, refused(request, error), request_id, Usage())
