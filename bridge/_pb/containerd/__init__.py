"""Generated from protos/containerd by protos/generate.py: do not edit."""
