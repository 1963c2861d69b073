"""Issues from their draft to their seal."""
