"""What survives: LMDB, the codec, the event log, the outbox."""
