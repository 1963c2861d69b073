"""The command `milepost` as it is, with shorter leases: python host_command.py SECONDS [ARGUMENT …]"""

import os
import sys
import threading
import time
from typing import Any, cast

from milepost import renewal


def _sleep(seconds: float, /) -> None:
    threading.Event().wait(seconds)


if __name__ == "__main__":
    if "FAKETIME" in os.environ:
        time.sleep = cast("Any", _sleep)  # libfaketime 0.9.10 refuses the clock_nanosleep that Python 3.11 asks for
    renewal.LEASE_S = int(sys.argv.pop(1))  # before anybody reads it
    from milepost.__main__ import main

    sys.argv[0] = "milepost"
    main()
