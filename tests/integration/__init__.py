"""Tests of one adapter, or of the whole bridge, against real servers."""
