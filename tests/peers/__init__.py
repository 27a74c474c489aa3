"""The other ends: real programs, started for tests and ended with them."""
