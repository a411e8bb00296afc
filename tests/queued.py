"""Batches whose lines are in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from files import MemoryFiles, make_files
from work import MemoryWork

from pointsman.batches.files import BATCH, NewFile
from pointsman.batches.protocol.objects import BatchDoc, plain
from pointsman.store.work import BatchRow, NewBatch, NewLine

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
OWNER = "key:a"


def chat(custom_id: str) -> bytes:
    """A line, for the model that stands before a dash in its id."""
    name, dash, _ = custom_id.partition("-")
    body = {"model": name if dash else "house", "messages": []}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body}).encode()


class Queue:
    """A queue, and the files that it is about."""

    def __init__(self, directory: Path, endpoint: str = CHAT) -> None:
        self.endpoint = endpoint
        self.now = 1000.0
        self.work = MemoryWork(now=lambda: self.now)
        self.rows = MemoryFiles()
        self.files = make_files(directory, self.rows)

    async def add(
        self, *custom_ids: str, batch_id: str = "batch_1", is_validated: bool = True, model: str | None = None
    ) -> BatchRow:
        """A batch whose lines can be run."""
        texts = [self.text(one) for one in custom_ids]
        async with self.files.begin(NewFile(owner=OWNER, purpose=BATCH, filename="in.jsonl")) as writing:
            await writing.write(b"\n".join(texts) or b"\n")
            source = await writing.finish()
        doc = BatchDoc(
            endpoint=self.endpoint, input_file_id=source.id, headers={"x-litellm-tags": "night"}, model=model
        )
        row = await self.work.create(NewBatch(id=batch_id, owner=OWNER, key_id="k1", doc=plain(doc)))
        if is_validated:
            taken = await self.work.take("somebody")
            assert taken is not None
            assert await self.work.add_lines(taken.lease, self.lines(custom_ids))
            assert await self.work.validated(taken.lease)
        return row

    def lines(self, custom_ids: Sequence[str]) -> list[NewLine]:
        """Where they stand in the file."""
        lines, offset = [], 0
        for number, custom_id in enumerate(custom_ids, 1):
            length = len(self.text(custom_id))
            lines.append(NewLine(number, custom_id, offset, length))
            offset += length + 1
        return lines

    def text(self, custom_id: str) -> bytes:
        """A line, as its endpoint takes it."""
        if self.endpoint == CHAT:
            return chat(custom_id)
        line = json.loads(chat(custom_id)) | {"url": self.endpoint}
        return json.dumps(line | {"body": line["body"] | {"max_tokens": 8}}).encode()

    async def row(self, batch_id: str = "batch_1") -> BatchRow:
        """As it is now."""
        found = await self.work.get(batch_id)
        assert found is not None
        return found
