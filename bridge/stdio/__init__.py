"""Stdio on the bus: FIFOs as containerd's shims want them, and what flows between them and the streams on the bus.

A session is one process's run. What it writes moves FIFO -> spool -> bus, and is gone from each place only once it stands in
the next one; so the bridge may be killed at any moment, and goes on where it was.
"""
