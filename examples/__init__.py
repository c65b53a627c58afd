"""Programs that show what containerd-bridge is for."""
