"""The monitor's program: kept so small because a program, unlike a module, is compiled again at every start.

Run as a file with `python3 -I -S`: what -m and site import would be resident for ever (0.6 MB), and the code of other
packages' .pth files would run in the daemon. Without site the packages beside this one must be found by their place.
"""

import sys

if sys.flags.no_site:
    sys.path.append(__file__.rpartition("/bustd_monitor/")[0])

from bustd_monitor.start import main

if __name__ == "__main__":
    sys.exit(main())
