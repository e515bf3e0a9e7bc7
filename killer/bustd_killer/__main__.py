"""The killer's program. It is this small because a program, unlike a module, is compiled again at every start.

It is run as a file with `python3 -I -S`: what -m and site import would stay resident (0.6 MB), and the code of other
packages' .pth files would run in the daemon. Without site, the packages beside this one are found by their path.
"""

import sys

if sys.flags.no_site:
    sys.path.append(__file__.rpartition("/bustd_killer/")[0])

from bustd_killer.start import main

if __name__ == "__main__":
    sys.exit(main())
