"""Generated from protos/google/protobuf by protos/generate.py: do not edit."""
