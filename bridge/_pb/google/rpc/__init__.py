"""Generated from protos/google/rpc by protos/generate.py: do not edit."""
