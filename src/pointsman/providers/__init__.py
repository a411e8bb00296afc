"""Whom we call, in which wire format, and what it costs: pure knowledge, nothing here sends a byte.

A *vendor* is a company or a server; a *dialect* is the wire format it speaks; a *deployment* is one entry
of ``model_list``: a vendor's model at an address with a credential. ``registry`` holds the tables,
``dialects`` the formats (each tells where an operation is found, how a rerank request is written and what an
error answer means), ``vendors`` what is more than an address, and ``costs`` turns usage into dollars.
The pipeline asks; ``upstream`` carries.
"""
