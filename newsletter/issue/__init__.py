"""From what is news to a mail: composed, rendered, checked. Pure."""
