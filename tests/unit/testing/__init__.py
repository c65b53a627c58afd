"""What `bridge.testing` can be told to do, beyond the contracts of the ports."""
