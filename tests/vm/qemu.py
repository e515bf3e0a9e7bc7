"""One boot of the virtual machine: the job goes in as a tar on the second disk, reports come out of the second serial
port, one JSON object a line. A step that takes too long ends the machine.

KVM is not used even where there is one: the machines that run this rarely have it, and figures of both can't be
compared. `-cpu max,-cx16`: with cmpxchg16b the emulation sometimes fails in the kernel's allocator. `panic=-1`: a
kernel that fails all the same ends the machine at once, unless it is one that is booted more than once.

`norandmaps`: where each process has its libraries at other addresses, QEMU 7.2 translates them once for each process,
and a byte that is written later into a page that held them is checked against all of these translations. The kernel
then cleared memory at 1 KiB a second, and a processor did nothing else for a minute (soft lockups in clear_page_erms).
With the same addresses for all there were none, and everything takes two thirds of the time.
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .image import Image
from .scenarios import Boot

_GUEST = Path(__file__).parent / "guest"
_TREE = Path(__file__).parents[2]
_LENT = ("tests/hostile/captured_*.py", "tests/support/notification_server.py")
"""What other tests have too: they stand beside the guest's own programs."""
_EVENTS_PAGE = _TREE / "docs" / "events.md"
_KERNEL_OPTIONS = "root=/dev/vda rw console=ttyS0 loglevel=5 panic=-1 systemd.show_status=0 norandmaps"
_BOOT_S = 240
BOOT = "boot"
"""The first step: until the guest's runner says what it does."""
_CONSOLE_LINES = 60


class Hung(Exception):
    """A step did not end in time, or the machine did: which step, and the end of the console."""

    def __init__(self, step: str, why: str, console: str) -> None:
        super().__init__(f"{step}: {why}")
        self.step = step
        self.console = console


class Machine:
    """A running machine. `reports` yields what the guest says until it is done."""

    def __init__(self, process: subprocess.Popen[bytes], port: socket.socket, console: Path) -> None:
        self._process = process
        self._port = port
        self._console = console

    def reports(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(step, report) of each step. The guest says how long a step may take. Raises Hung."""
        step, deadline, buffer = BOOT, time.monotonic() + _BOOT_S, b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._port, selectors.EVENT_READ)
            while True:
                if not selector.select(max(deadline - time.monotonic(), 0)):
                    raise Hung(step, "it took too long and was ended", self.console())
                chunk = self._port.recv(65536)
                if not chunk:
                    raise Hung(step, f"the machine ended (status {self._process.wait()})", self.console())
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    said = json.loads(line)
                    if said["kind"] == "done":
                        return
                    if said["kind"] == "broken":
                        raise Hung(step, said["why"], self.console())
                    if said["kind"] == "start":
                        step, deadline = said["name"], time.monotonic() + said["seconds"]
                    else:
                        yield said["name"], said["report"]
                        deadline = time.monotonic() + _BOOT_S

    def console(self) -> str:
        """The last lines of it."""
        return "\n".join(self._console.read_text(errors="replace").splitlines()[-_CONSOLE_LINES:])


@contextmanager
def booted(image: Image, boot: Boot, job: dict[str, Any], files: list[Path]) -> Iterator[Machine]:
    """Boot with a job; the machine is gone at the end of the block, whatever happened."""
    with tempfile.TemporaryDirectory(prefix="bustd-vm-") as name:
        place = Path(name)
        (place / "job.json").write_text(json.dumps(job))
        with tarfile.open(place / "job.tar", "w") as tar:
            tar.add(_GUEST, "guest", filter=lambda entry: None if "__pycache__" in entry.name else entry)
            for lent in [file for pattern in _LENT for file in _TREE.glob(pattern)]:
                tar.add(lent, f"guest/{lent.name}")
            for file in [place / "job.json", _EVENTS_PAGE, *files]:
                tar.add(file, file.name)
        ours, theirs = socket.socketpair()
        command = [
            *("setpriv", "--pdeathsig", "KILL"),  # no machine outlives its test
            *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max,-cx16", "-M", "q35"),
            *("-m", str(boot.memory_mib), "-smp", "2", "-nodefaults", "-display", "none"),
            *(() if boot.reboots else ("-no-reboot",)),
            *("-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append"),
            f"{_KERNEL_OPTIONS} {boot.kernel_options}",
            *("-drive", f"file={image.disk},if=virtio,format=raw,snapshot=on"),
            *("-drive", f"file={place}/job.tar,if=virtio,format=raw,readonly=on"),
            *("-serial", f"file:{place}/console"),
            *("-chardev", f"socket,id=results,fd={theirs.fileno()}", "-serial", "chardev:results"),
        ]
        with ours:
            with theirs:
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
            try:
                yield Machine(process, ours, place / "console")
            finally:
                process.kill()
                process.wait()
