"""The storefront simulator over real sockets, and what is staged with it: the demo and the verification."""
