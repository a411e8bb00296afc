"""Making checkpoints out of data. Only commands come here; the gateway never does.

``formats`` reads outcomes in the formats that other routers and benchmarks have; ``gathering`` makes a table of them;
``fit`` trains a strategy on the table and measures it on prompts that it has not seen.
"""
