"""How facts get in: the listener, the receiver, the pollers."""
