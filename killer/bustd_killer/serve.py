"""The program of stage 2, which serves: kept so small because a program, unlike a module, is compiled at every start.

Run as a file with `python3 -I`, by the start alone (start.stage_2): its one argument is the descriptor of the policy.
"""

import sys

if sys.flags.no_site:
    sys.path.append(__file__.rpartition("/bustd_killer/")[0])

from bustd_killer.serving import main

if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
