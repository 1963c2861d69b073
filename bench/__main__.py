"""Runs every measurement in turn; each is a module of its own and can be run alone."""

import sys

from bench import big_store, crawl, detect, dispatch, extract, mutate, render, replay, reports, scale, start, web

missing = []
for part in (start, extract, mutate, crawl, detect, big_store, replay, render, dispatch, reports, web, scale):
    try:
        part.main()
    except SystemExit as end:  # it could not be measured here: the others can
        if end.code:
            missing.append(str(end.code))
            print(end.code, flush=True)
if missing:
    sys.exit(f"{len(missing)} of the measurements could not be made, see above")
