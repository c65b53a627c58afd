"""Generated from protos/containerd/services by protos/generate.py: do not edit."""
