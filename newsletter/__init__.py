"""Decides what is news and makes a mail of it: changes → issue → variants, all of it pure (docs/design.md)."""
