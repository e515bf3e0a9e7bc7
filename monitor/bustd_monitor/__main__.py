"""The monitor's program: kept so small because a program, unlike a module, is compiled anew at every start.

Run as a file, not with -m: runpy and what it imports would be resident for ever (0.3 MB).
"""

import sys

from bustd_monitor.start import main

if __name__ == "__main__":
    sys.exit(main())
