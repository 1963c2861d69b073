"""One module a command group: it parses what it was told, calls one function of the pipeline, and shows the result."""
