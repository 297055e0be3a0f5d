"""The hardened unit, started for real: a Debian of its own, booted in an emulator, and checks that run inside."""
