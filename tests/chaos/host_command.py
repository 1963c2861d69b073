"""The command `milepost` as it is, with shorter leases: python host_command.py SECONDS [ARGUMENT …]"""

import sys

from milepost import renewal

if __name__ == "__main__":
    renewal.LEASE_S = int(sys.argv.pop(1))  # before anybody reads it
    from milepost.__main__ import main

    sys.argv[0] = "milepost"
    main()
