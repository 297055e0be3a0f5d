"""The `onhand` daemon: one true stock number, on every sales channel."""
