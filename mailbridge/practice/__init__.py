"""Skyvern's stand-in while there is no key for a real one: takes codes, and answers as Skyvern does."""
