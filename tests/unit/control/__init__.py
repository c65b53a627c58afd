"""Tests of the command path over a containerd in a few lines of memory."""
