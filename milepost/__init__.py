"""The ground floor: the words (records and their fields), dates, JSON forms, errors and settings."""

__version__ = "0.1.0"
