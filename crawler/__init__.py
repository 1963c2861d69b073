"""Reads a site politely and safely: robots → sitemaps → listings → milestone pages, each handed on as it arrives."""
