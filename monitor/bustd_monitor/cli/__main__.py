"""The command as a file, for `python3 -I -S`: bustd-monitor.service checks its configuration with it before a reload.

Without site the packages beside this one must be found by their place, as in the daemon's own `__main__`.
"""

import sys

if sys.flags.no_site:
    sys.path.append(__file__.rpartition("/bustd_monitor/")[0])

from bustd_monitor.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
