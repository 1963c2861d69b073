"""Who asked for what, and who is never to be mailed again."""
