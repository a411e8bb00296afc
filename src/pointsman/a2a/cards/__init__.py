"""Cards of agents: fetched from the agents, kept, and served with the gateway's addresses in place of theirs.

``fetching`` asks an agent, ``trusting`` looks at the signatures of what it says, ``reading`` makes a
:class:`~pointsman.a2a.base.LiveCard` of it, and ``keeping`` holds those of all agents up to date. ``forms`` makes of
such a card the one that clients see, and ``serving`` the bytes of it. ``shapes``, ``jcs`` and ``signing`` know what a
signature covers.
"""
