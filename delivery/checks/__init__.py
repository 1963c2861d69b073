"""What the DNS says about a sender."""
