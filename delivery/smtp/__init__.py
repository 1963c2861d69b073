"""SMTP: one connection, what is said on it, and many of them at once."""
