"""Runs every measurement in turn; each is a module of its own and can be run alone."""

from bench import extract, render, start

for part in (start, extract, render):
    part.main()
