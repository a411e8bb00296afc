"""OpenAI's Responses API, as it is in openai-python 3.54: ``POST /responses``.

Sources: https://developers.openai.com/api/reference/resources/responses, the types of the SDK,
https://github.com/openai/codex (``codex-rs/codex-api/src/sse/responses.rs``: what Codex acts on) and
https://github.com/vercel/ai (``packages/openai/src/responses``: what Vercel's SDK insists on).

A conversation is a flat list of items here, and so is an answer: messages, reasoning, calls and their outputs. The
gateway keeps no state, so requests that refer to some are refused, and providers are told to store nothing.
"""

from pointsman.providers.dialects.responses.answers import read_answer, write_answer
from pointsman.providers.dialects.responses.bodies import write_request
from pointsman.providers.dialects.responses.failing import error_body, error_event
from pointsman.providers.dialects.responses.requests import read_request
from pointsman.providers.dialects.responses.seals import NAME
from pointsman.providers.dialects.responses.streams import stream_reader
from pointsman.providers.dialects.responses.writing import stream_writer

FRAMING = "sse"


def path(base_path: str, operation: str, model: str, *, is_stream: bool) -> str:
    """Path of ``chat`` and ``responses``, which are one here; an address that already ends in it is taken as meant."""
    del operation, model, is_stream
    base = base_path.rstrip("/")
    return base if base.endswith("/responses") else f"{base}/responses"


__all__ = [
    "FRAMING",
    "NAME",
    "error_body",
    "error_event",
    "path",
    "read_answer",
    "read_request",
    "stream_reader",
    "stream_writer",
    "write_answer",
    "write_request",
]
