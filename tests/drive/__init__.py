"""Drives `mailbridge setup` in a pseudo-terminal as a person would, and counts what the person does."""
