"""Tests of pure functions and single classes: no server, no root, seconds in all."""
