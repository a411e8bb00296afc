"""The Agent2Agent protocol as values: what is asked, answered and told, in both of its versions. No I/O."""
