"""A tour with real SMTP, real parsing, a real outbox, and a receiver that behaves like Skyvern."""
