"""What readers meet in a browser: the archive of issues, and the way out."""
