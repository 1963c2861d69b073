"""The only room that knows Prefect: thin flows over the functions in `pipeline`."""
