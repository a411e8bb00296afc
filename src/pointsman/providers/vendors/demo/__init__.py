"""The built-in demo vendor: an OpenAI-wire upstream inside the gateway; the first call needs no account.

It is no AI and says so in every answer. What it does is plain and repeatable: chat tells back what it was
sent, embeddings are hashed words, rerank counts shared words, images are stripes, speech is beeps.

``respond`` is the whole of it: one request in, one :class:`DemoReply` out, with the pace at which to play it.
``names`` lists the models, ``reply`` shapes answers and errors; one module each serves a family of endpoints.
"""

from __future__ import annotations

from pointsman.providers.vendors.demo.reply import DemoReply
from pointsman.providers.vendors.demo.respond import respond

__all__ = ["DemoReply", "respond"]
