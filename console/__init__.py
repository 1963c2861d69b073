"""The door: the `milepost` command. Parts of the house are imported only by the commands that need them."""

import logging
import sys

from milepost.errors import MilepostError
from milepost.log_lines import as_line


def main() -> None:
    """Run the command line; every error that a user can mend is one sentence and an exit code, never a traceback."""
    try:
        from console.app import app

        app(prog_name="milepost")
    except MilepostError as error:
        sys.stdout.flush()
        sentence = as_line(f"milepost: {error}", level=logging.ERROR)
        sys.stderr.write(f"{sentence}\n")
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `milepost milestones | head`: the reader has had enough
        sys.stderr.close()
        sys.exit(0)
