"""alice's notification server: notified.py FILE appends a line of JSON for each notification that is shown."""

import json
import os
import sys
import time
from pathlib import Path

from notification_server import FakeServer


def main():
    with FakeServer(os.environ["DBUS_SESSION_BUS_ADDRESS"]) as server, Path(sys.argv[1]).open("w", buffering=1) as file:
        while True:
            shown = server.shown.get()
            print(json.dumps({"monotonic_us": time.monotonic_ns() // 1000, **shown._asdict()}), file=file)


if __name__ == "__main__":
    main()
