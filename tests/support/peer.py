"""A peer of the killer in a process of its own. It does what it is told, right or wrong.

A script for the installation's Python, run by tests/support/dialogue.py. Each line on stdin is one step in JSON, and
one line in JSON on stdout gives its result. It knows nothing of the protocol: packets are bytes, in hexadecimal.
"""

import array
import json
import os
import select
import socket
import sys

_LONGEST_ANSWER = 65536


def connect(step, state):
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        link.connect(step["path"])
    except OSError as error:
        link.close()
        return {"error": type(error).__name__}
    state["link"] = link
    return {"pid": os.getpid(), "uid": os.geteuid()}


def send(step, state):
    """Send each packet in one call. Returns how many the kernel took before the peer was gone."""
    for count, packet in enumerate(step["packets"]):
        try:
            state["link"].send(bytes.fromhex(packet), socket.MSG_NOSIGNAL)
        except OSError as error:
            return {"sent": count, "error": type(error).__name__}
    return {"sent": len(step["packets"])}


def send_descriptors(step, state):
    """Send one packet with `count` copies of a pipe's writing end. A receiver that keeps one keeps the pipe open."""
    reader, writer = os.pipe()
    rights = array.array("i", [writer] * step["count"])
    try:
        state["link"].sendmsg([bytes.fromhex(step["packet"])], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    finally:
        os.close(writer)
    state["reader"] = reader
    return {"sent": 1}


def await_pipe_end(step, state):
    """Whether every copy of the pipe's writing end has been closed."""
    return {"ended": bool(select.select([state["reader"]], [], [], step["seconds"])[0])}


def receive(step, state):
    """The next packet, `closed` at the end of the connection, or `silent` if nothing came."""
    link = state["link"]
    if not select.select([link], [], [], step["seconds"])[0]:
        return {"silent": True}
    try:
        packet = link.recv(_LONGEST_ANSWER)
    except ConnectionError:
        return {"closed": True}  # the killer had not read everything that this side sent
    return {"packet": packet.hex()} if packet else {"closed": True}


def close(step, state):
    state.pop("link").close()
    return {}


def join_group(step, state):
    os.setpgid(0, step["group"])
    return {}


STEPS = {step.__name__: step for step in (connect, send, send_descriptors, await_pipe_end, receive, close, join_group)}


def main():
    state = {}
    for line in sys.stdin:
        step = json.loads(line)
        print(json.dumps(STEPS[step["do"]](step, state)), flush=True)


if __name__ == "__main__":
    main()
