"""What is news: changes, guards, renames, and who is due which of them. Pure."""
