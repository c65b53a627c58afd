"""The event path: from containerd's stream, through the outbox on local disk, to the log on the bus.

    feed (subscribe, probe, reconnect) -> recorder (place, commit) -> delivery (append, acknowledge)

An event has its id, its sequence and its position from the moment it is committed to the outbox, and keeps them.
"""
