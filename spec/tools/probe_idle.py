#!/usr/bin/env python3
"""Times how a server ends an idle connection. Start it with `cyrus.py start VERSION master "sync_timeout: 3"`.

usage: probe_idle.py PORT...
"""
import sys
import time

from csync import Csync, esc

for port in sys.argv[1:]:
    c = Csync(int(port), caps=False, timeout=30)
    began, got = time.time(), b""
    while d := c.sock.recv(4096):
        got += d
    print("port %s: closed after %.1f s, said %r" % (port, time.time() - began, esc(got)))
