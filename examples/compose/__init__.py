"""More for compose.yaml: see README.md."""
