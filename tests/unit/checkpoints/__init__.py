"""Tests of checkpoints as files and bytes."""
