"""One module per sales platform: bytes in, values out, no I/O."""
