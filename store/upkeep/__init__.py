"""Backups, restores, copies and checks of the whole database."""
