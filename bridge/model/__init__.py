"""What crosses the bus: events, commands, outcomes, states; their envelope, subjects, codec and fold. Pure; no I/O."""
