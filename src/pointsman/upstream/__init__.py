"""Whom we call: a pooled HTTP/1.1 client on asyncio transports.

The nouns, from the outside in: a :class:`~pointsman.upstream.pool.Pool` has one
:class:`~pointsman.upstream.pool.Host` per scheme, name and port. A host ``send``s requests over its
:class:`~pointsman.upstream.connection.Connection` objects, which it gets from ``dialling`` (with ``routes``,
``proxy`` and ``tls``) and keeps when they are idle. A connection frames the request and reads the answer by ``h1``,
and feeds a :class:`~pointsman.upstream.response.Response`, which its caller reads or relays. ``deadlines`` has the
one timer for all of them. What answers from inside this process is a
:class:`~pointsman.upstream.loopback.Loopback`; both are an :class:`~pointsman.upstream.base.Upstream`.

A request that reuses a connection costs one future, no task, no timer and no copy of a long body. Everything that
can go wrong ends as one of the errors of :mod:`pointsman.errors`; the address of an upstream is in
``operator_detail`` only.
"""
