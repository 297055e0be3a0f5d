"""What runs inside the emulated machine, on nothing but its Python's own library."""
