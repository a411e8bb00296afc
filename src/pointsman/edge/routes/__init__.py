"""Handlers by family. They translate between an exchange and the pipeline, and decide nothing else."""
