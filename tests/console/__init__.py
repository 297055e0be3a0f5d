"""The page for whoever runs the shop: its server here, the page itself in a browser (`python -m tests.console`)."""
