"""The command path: what is asked of this node on the bus, judged, put in order, carried out and recorded."""
