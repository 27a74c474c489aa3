"""Sockets: listening, connections to others, the guard against private addresses, and a small SMTP client."""
