"""The tables and their columns; migrations/ holds the road here."""
