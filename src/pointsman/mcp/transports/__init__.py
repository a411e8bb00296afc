"""The ways to a server: each carries messages, and knows nothing of what they mean."""
