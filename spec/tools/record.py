#!/usr/bin/env python3
"""A byte-recording TCP proxy for csync, and the reader of what it records.

As a program it passes connections on until it is interrupted:

    record.py LISTEN-PORT TARGET-PORT FILE [--keep-compress]

Format of FILE: see spec/sessions/README.md. Without --keep-compress the banner line that offers
compression is left out, so that both sides talk in clear; with it everything is recorded as raw
chunks once compression has begun.
"""
import base64
import json
import re
import socket
import sys
import threading
import time

from csync import esc

HEADER = re.compile(rb"\{(?:[^{}\r\n]* )?(\d+)\+?\}\r?$")
FILE = re.compile(rb"%\{[^{}\r\n]* (\d+)\}\r?$")


class Lines:
    """Cuts one direction's bytes into logical lines; a file's bytes become an item of their own."""

    def __init__(self):
        self.buf, self.items, self.text, self.skip, self.file = b"", [], b"", 0, False

    def feed(self, data):
        self.buf += data
        out = []
        while True:
            if self.skip:
                if len(self.buf) < self.skip:
                    return out
                body, self.buf = self.buf[: self.skip], self.buf[self.skip :]
                self.skip = 0
                if self.file:
                    self.items.append(esc(self.text))
                    self.items.append({"file": base64.b64encode(body).decode()})
                    self.text = b""
                else:
                    self.text += body
                continue
            i = self.buf.find(b"\n")
            if i < 0:
                return out
            line, self.buf = self.buf[: i + 1], self.buf[i + 1 :]
            self.text += line
            end = line[:-1]
            if m := HEADER.search(end):
                self.skip = int(m.group(1))
                self.file = bool(FILE.search(end))
                if self.file and not self.skip:
                    self.items += [esc(self.text), {"file": ""}]
                    self.text = b""
                continue
            out.append(self.items + [esc(self.text)])
            self.items, self.text = [], b""

    def rest(self):
        return self.text + self.buf


class Recorder:
    """Listens on `port`, passes on to `target`, and keeps what went by in self.entries."""

    def __init__(self, port, target, keep_compress=False):
        self.target, self.keep = target, keep_compress
        self.entries, self.lock, self.conns, self.threads = [], threading.Lock(), 0, []
        self.sock = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c, _ = self.sock.accept()
            except OSError:
                return
            self.conns += 1
            s = socket.create_connection(("127.0.0.1", self.target))
            for x in (c, s):
                x.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            state = {"raw": False, "n": self.conns}
            for d, a, b in (("C", c, s), ("S", s, c)):
                t = threading.Thread(target=self.pump, args=(state, d, a, b), daemon=True)
                self.threads.append(t)
                t.start()

    def add(self, state, d, **kw):
        with self.lock:
            self.entries.append({"conn": state["n"], "dir": d, **kw})

    def pump(self, state, d, a, b):
        lines, first = Lines(), d == "S"
        while True:
            try:
                data = a.recv(1 << 16)
            except OSError:
                data = b""
            if not data:
                break
            if state["raw"]:
                self.add(state, d, raw=base64.b64encode(data).decode())
            else:
                if first and not self.keep:
                    # the banner is small and comes whole on loopback
                    data = data.replace(b"* COMPRESS DEFLATE\r\n", b"")
                    first = False
                for items in lines.feed(data):
                    self.add(state, d, line=items)
                    if d == "S" and items[-1].startswith("OK DEFLATE active"):
                        state["raw"] = True
            try:
                b.sendall(data)
            except OSError:
                break
        if lines.rest():
            self.add(state, d, raw=base64.b64encode(lines.rest()).decode())
        self.add(state, d, eof=True)
        try:
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)    # wakes accept()
        self.sock.close()
        for t in self.threads:
            t.join(5)

    def write(self, path, **header):
        with open(path, "w") as f:
            for row in [header, *self.entries]:
                f.write(json.dumps(row) + "\n")


def main():
    keep = "--keep-compress" in sys.argv
    port, target, path = [a for a in sys.argv[1:] if not a.startswith("--")]
    r = Recorder(int(port), int(target), keep)
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        r.close()
        r.write(path, session=path, target=int(target))


if __name__ == "__main__":
    main()
