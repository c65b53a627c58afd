"""How fast events get from containerd's stream into JetStream, and what that costs: `python -m benchmarks`."""
