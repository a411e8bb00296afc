"""Amazon Bedrock's Converse and ConverseStream, version 2023-09-30, which speak with models of many makers.

Sources: docs.aws.amazon.com/bedrock/latest/APIReference (API_runtime_Converse, API_runtime_ConverseStream) and the
service model of ``botocore``, and for what models take of their own the modules below. The module satisfies
:class:`~pointsman.providers.translation.Outbound`. Requests are signed, or carry a key, by the vendor.

================  ====================================================================================================
``models``        model ids, what has to be known of models, paths
``requests``      with ``contents`` (turns), ``media``, ``tools``, ``reasoning``
``answers``       with ``wire`` (shapes, reasons, usage), ``citations``
``streams``       the reader, with ``failing`` (exceptions)
``embeddings``    InvokeModel of Titan and Cohere
``rerank``        InvokeModel of Cohere and Amazon
================  ====================================================================================================

Not expressible, and given to ``Terms.lose``: ``seed``, ``n``, ``logprobs``, penalties, ``user``, JSON without a schema,
tools that take free text or are another provider's, pictures and documents by URL unless in S3, pictures of the
assistant's; Claude's thinking where a tool is forced, and sampling beside it; ``tool_choice: none`` after tool calls
and one call at a time, except with Claude; cache marks, efforts and ``top_k`` where the model has none. Left out
without a word, as they carry nothing here: blank texts, reasoning without a seal or sealed by others, ``detail`` of
images.
"""

from __future__ import annotations

from pointsman.providers.dialects.converse import embeddings, rerank
from pointsman.providers.dialects.converse.answers import read_answer
from pointsman.providers.dialects.converse.models import NAME, path
from pointsman.providers.dialects.converse.requests import write_request
from pointsman.providers.dialects.converse.streams import stream_reader

FRAMING = "eventstream"

__all__ = ["FRAMING", "NAME", "embeddings", "path", "read_answer", "rerank", "stream_reader", "write_request"]
