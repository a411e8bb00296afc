"""Who is calling, and what they may do. A refusal is a value of :mod:`pointsman.errors`, rendered at the edge."""
