"""What batches are on the wire and how they go from state to state: pure, without clocks, chance and I/O."""
