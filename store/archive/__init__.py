"""The archive: every page as it was fetched, once, compressed."""
