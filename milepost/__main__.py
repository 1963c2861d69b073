"""`python -m milepost` is the `milepost` command."""

import sys
from pathlib import Path

# `python -m` looks in the folder it is run in before anywhere else: a store.py there would be taken for ours.
if not sys.flags.safe_path and Path(sys.path[0]).resolve() != Path(__file__).resolve().parents[1]:
    del sys.path[0]

from console import main

main()
