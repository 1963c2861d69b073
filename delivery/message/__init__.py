"""A message as bytes: built once, filled for each recipient, signed."""
