"""What readers meet: the archive, the feeds, their own choice, and the way out."""
