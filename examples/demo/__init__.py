"""A minute of containerd-bridge, on real containers: `make demo`."""
