"""Milestones, every version of them, the changes between, and the looks that found them."""
