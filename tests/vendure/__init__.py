"""`python -m tests.vendure`: a real Vendure, installed by npm, and the daemon between it and two storefronts."""
