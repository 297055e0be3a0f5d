"""The page for whoever runs the shop: served on loopback, a client of the admin socket."""
