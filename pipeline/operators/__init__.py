"""Operators: who they are, how they come in, what they may and what each did; for console, desk and API."""
