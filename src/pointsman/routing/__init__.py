"""From a model name to the deployment that serves it. Pure: randomness and time arrive as arguments."""
