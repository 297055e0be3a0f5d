"""The local socket: queries, commands, metrics, the event stream."""
