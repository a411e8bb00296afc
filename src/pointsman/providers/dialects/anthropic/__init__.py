"""Anthropic's Messages API, version 2023-06-01: of Anthropic, and of clients such as its SDKs and Claude Code.

Sources: platform.claude.com/docs/en/api/messages, .../build-with-claude/streaming, .../api/errors, and the types of
``anthropic`` 2.12 for Python. The module satisfies :class:`~pointsman.providers.translation.Outbound` and
:class:`~pointsman.providers.translation.Inbound`; ``anthropic-version`` and the credential are headers, and for the
vendor to set.

================  ====================================================================================================
``facts``         what has to be known of models
``requests_in``   clients' requests, with ``content`` (blocks) and ``fields`` (members, or what is wrong with them)
``requests_out``  requests for providers, with ``conversations``, ``blocks``, ``tools``, ``schemas``, ``reasoning``
``answers``       both ways, with ``stops``, ``usage``, ``citations``
``streams_in``    the reader, ``streams_out`` the writer
``errors``        both ways
================  ====================================================================================================

Not expressible, and given to ``Terms.lose``: ``seed``, ``n``, ``logprobs``, penalties, ``logit_bias``, JSON without a
schema, audio, images of the assistant's, documents other than PDF and text, names of users in messages, stop sequences
of white space, files that OpenAI keeps, with models after 4.6 and beside thinking ``temperature``, ``top_p`` and
``top_k``, thinking where a tool is forced, and schemas of answers with models before 4.1. Left out without a word, as
they carry nothing here: empty texts, reasoning sealed by others, ``detail`` of images, names of answer formats. A tool
that takes free text becomes one with a text for its only argument.
"""

from __future__ import annotations

from pointsman.providers.dialects.anthropic.answers import read_answer, write_answer
from pointsman.providers.dialects.anthropic.errors import error_body, error_event
from pointsman.providers.dialects.anthropic.facts import NAME
from pointsman.providers.dialects.anthropic.paths import path
from pointsman.providers.dialects.anthropic.requests_in import read_request
from pointsman.providers.dialects.anthropic.requests_out import write_request
from pointsman.providers.dialects.anthropic.streams_in import stream_reader
from pointsman.providers.dialects.anthropic.streams_out import stream_writer

FRAMING = "sse"

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
