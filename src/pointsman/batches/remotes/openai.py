"""OpenAI's files and batches, and Azure's: an input file is uploaded, and a batch made of it with a mark."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final
from urllib.parse import quote

from msgspec.structs import replace

from pointsman.batches.protocol.providers.base import Got, Progress
from pointsman.batches.protocol.providers.openai import (
    CLOSING,
    ENDPOINTS,
    FORM,
    MARK,
    OPENING,
    Listed,
    Made,
    Told,
    asked,
    got,
)
from pointsman.batches.remotes.base import Order, State, Step
from pointsman.batches.remotes.http import Api, Sending
from pointsman.pipeline.targets import Target

PENDING_SECONDS: Final = 10.0
"""Until it is asked again whether it has looked at an input file."""
MAX_PAGES: Final = 20
"""Of a hundred batches each, of which one may be ours."""


class OpenAiRemote:
    """A :class:`~pointsman.batches.remotes.base.Remote`."""

    def __init__(self, target: Target) -> None:
        self._api = Api(target)
        self._model = target.batch_model

    def takes(self, endpoint: str, headers: Mapping[str, str]) -> bool:
        """None of the headers would hold: they say how the gateway is to serve, or are betas of its own."""
        return endpoint in ENDPOINTS and not headers

    async def find(self, order: Order, progress: Progress) -> Progress:
        """Batches have our mark in their metadata."""
        told = await self.marked(order.mark)
        return progress if told is None else replace(progress, batch=told.id)

    async def begin(self, order: Order, progress: Progress) -> Step | None:
        """Upload the file, wait until it was looked at, make the batch."""
        if not progress.file:
            made = await self.upload(order)
            return Step(replace(progress, file=made.id, since=order.now()), 0.0)
        file = await self.file(progress.file)
        if file.is_pending and order.may_wait:
            return Step(progress, PENDING_SECONDS)
        told = await self.make(file.id, order.endpoint, order.mark)
        return Step(replace(progress, batch=told.id))

    async def state(self, batch: str) -> State:
        """A batch, as it is."""
        told = await self._api.ask(b"GET", f"/batches/{quote(batch, safe='')}", None, Told)
        return State(told.is_over, tuple(told.files), told.problem)

    async def cancel(self, batch: str) -> None:
        """Its files are there some minutes later."""
        await self._api.ask(b"POST", f"/batches/{quote(batch, safe='')}/cancel", {}, Told)

    async def results(self, order: Order, state: State) -> AsyncGenerator[Got]:
        """The lines of both files."""
        for file in state.results:
            async with aclosing(self._api.lines(f"/files/{quote(file, safe='')}/content")) as lines:
                async for line in lines:
                    one = got(line, order.model)
                    if one is not None:
                        yield one

    async def upload(self, order: Order) -> Made:
        """Have an input file written while the requests are read."""

        async def form() -> AsyncGenerator[bytes]:
            yield OPENING
            async with aclosing(order.requests()) as requests:
                async for some in requests:
                    yield b"".join(asked(number, request, self._model) for number, request in some)
            yield CLOSING

        return await self._api.send("/files", form(), Sending(FORM), Made)

    async def file(self, file: str) -> Made:
        """A file, as it is."""
        return await self._api.ask(b"GET", f"/files/{quote(file, safe='')}", None, Made)

    async def make(self, file: str, endpoint: str, mark: str) -> Told:
        """Begin a batch."""
        wanted = {
            "input_file_id": file,
            "endpoint": endpoint,
            "completion_window": "24h",
            "metadata": {MARK: mark},
        }
        return await self._api.make("/batches", wanted, Told)

    async def marked(self, mark: str) -> Told | None:
        """The batch that was made under a mark, unless too many were made since."""
        after = ""
        for _ in range(MAX_PAGES):
            listed = await self._api.ask(b"GET", f"/batches?limit=100{after}", None, Listed)
            for one in listed.data:
                if (one.metadata or {}).get(MARK) == mark:
                    return one
            if not (listed.has_more and listed.data):
                break
            after = f"&after={quote(listed.data[-1].id, safe='')}"
        return None
