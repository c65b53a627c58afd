"""What crosses the bus: events, commands, outcomes, their envelope, their subjects, their codec. Pure; no I/O."""
