"""Runs every measurement in turn; each is a module of its own and can be run alone."""

from bench import crawl, detect, dispatch, extract, mutate, render, replay, scale, start, web

for part in (start, extract, mutate, crawl, detect, scale, replay, render, dispatch, web):
    part.main()
