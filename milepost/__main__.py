"""The `milepost` command, which `python -m milepost` is too: the door opens once it is known to be ours."""

import sys
from pathlib import Path

from milepost.errors import SettingsError
from milepost.rooms import HOME, require_rooms


def main() -> None:
    """Run the command line; where another package stands in a room's place, a sentence says so."""
    try:
        require_rooms()  # before the first import of a room: `console` may be somebody else's too
    except SettingsError as error:
        sys.stderr.write(f"milepost: {error}\n")
        sys.exit(error.exit_code)
    from console import main as open_door

    open_door()


if __name__ == "__main__":
    # `python -m` looks in the folder it is run in before anywhere else: a store.py there would be taken for ours.
    if not sys.flags.safe_path and Path(sys.path[0]).resolve() != HOME:
        del sys.path[0]
    main()
