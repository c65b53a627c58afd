"""The adapter of Docker Engine: the only room that knows its API. It sends GET requests and nothing else."""
