"""Faults: what happens to the log when everything around it breaks. README.md says what runs where."""
