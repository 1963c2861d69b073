"""`python -m milepost` is the `milepost` command."""

from console import main

main()
