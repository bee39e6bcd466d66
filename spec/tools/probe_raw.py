#!/usr/bin/env python3
"""Sends raw bytes to a csync server after login, each case on a connection of its own, and
prints what comes back: the answer lines, "(closed)" or "(waits)".

usage: probe_raw.py PORT ESCAPED...     or cases one a line on standard input
"""
import socket
import sys

from csync import Csync, esc, unesc


def probe(port, data, wait=0.7):
    """-> (list of lines, "open" | "closed" | "waits") for data followed by a NOOP if answered"""
    c = Csync(port, caps=False)
    c.sock.settimeout(wait)
    got, state = b"", "open"
    try:
        c.send(data)
        while True:
            d = c.sock.recv(65536)
            if not d:
                state = "closed"
                break
            got += d
            last = got.rstrip(b"\r\n").split(b"\n")[-1]
            if got.endswith(b"\n") and last[:2] in (b"OK", b"NO", b"BA"):
                # anything more? a command cut in two answers twice
                c.sock.settimeout(0.15)
    except socket.timeout:
        if not got:
            state = "waits"
    except ConnectionError:
        state = "closed"
    finally:
        c.close()
    return got, state


def main():
    port = int(sys.argv[1])
    for case in sys.argv[2:] or (l.rstrip("\n") for l in sys.stdin):
        got, state = probe(port, unesc(case))
        lines = [esc(l.rstrip(b"\r")) for l in got.split(b"\n")[:-1]]
        print("%-60s -> %s%s" % (case, " | ".join(lines), "" if state == "open" else " (%s)" % state))


if __name__ == "__main__":
    main()
