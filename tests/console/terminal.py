"""The command line as a test types it, without the second that a process of its own takes to import everything."""

import contextlib
import io
import subprocess
import sys
from pathlib import Path
from unittest import mock

from console import main


def milepost(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command as the console script runs it."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        contextlib.chdir(cwd or Path.cwd()), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["milepost", *arguments]),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())
