"""One look at a source: archive its pages, read them, judge what changed, record it. It can reach no delivery."""
