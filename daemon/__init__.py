"""The `onhand` daemon: one true stock number, on every sales channel."""

__version__ = "0.1.0"
