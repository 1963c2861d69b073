"""The ledger: what became of every hand-over."""
