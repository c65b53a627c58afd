"""Generated from protos/google by protos/generate.py: do not edit."""
