"""Credentials of clouds: what is sent with a request so that the cloud knows the gateway.

An :class:`~pointsman.wire.identity.Identity` says who the gateway is; ``authorizers`` makes an
:class:`~pointsman.upstream.credentials.base.Authorizer` of it, which gives header lines for one request.
``entra``, ``google`` and ``aws`` know how each cloud is asked for a token or keys, ``caching`` keeps what they got and
renews it before it expires, ``calls`` sends the questions over the upstream client.

Only addresses of the operator's are called here. Those of a machine's own metadata service are among them, and are
reached without a proxy; no caller can name one.
"""
