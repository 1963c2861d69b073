"""The words, the errors, the settings and the door of Milepost."""

__version__ = "0.1.0"
