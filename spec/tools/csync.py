#!/usr/bin/env python3
"""A small csync client and an independent dlist reader, for probes and vectors.

Written from spec/ only; shares no code with the Rust crates, so that both can be checked
against each other.

usage: csync.py HOST:PORT USER PASSWORD COMMAND...     send commands, print what comes back
"""
import base64
import re
import socket
import sys


# ------------------------------------------------------------------ escaped byte strings
def esc(b):
    """Bytes as printable ASCII: a backslash becomes \\\\, anything outside 0x20..0x7e \\xNN."""
    return "".join(
        "\\\\" if c == 0x5C else chr(c) if 0x20 <= c <= 0x7E else "\\x%02x" % c for c in b
    )


def unesc(s):
    """The inverse of esc."""
    out = bytearray()
    i = 0
    while i < len(s):
        if s[i] == "\\":
            if s[i + 1] == "x":
                out.append(int(s[i + 2 : i + 4], 16))
                i += 4
            else:
                out.append(0x5C)
                i += 2
        else:
            out.append(ord(s[i]))
            i += 1
    return bytes(out)


# ------------------------------------------------------------------ dlist reader
class Fault(Exception):
    """A line that is no dlist: the fault's name and the offset of the byte that shows it."""

    def __init__(self, name, at):
        super().__init__("%s at byte %d" % (name, at))
        self.name, self.at = name, at


class Incomplete(Exception):
    """The input ends before the value does."""


class Reader:
    """Reads values of [CS-DLIST] with the strictness of spec/exceptions.md."""

    BLANK = b" \t\x0b\x0c"
    ATOM_END = BLANK + b"\r\n()\""

    def __init__(self, data, at=0):
        self.d, self.i = data, at

    def peek(self, n=1):
        if self.i + n > len(self.d):
            raise Incomplete()
        return self.d[self.i : self.i + n]

    def line_end(self):
        """At a line end? CRLF and LF are; a CR alone is a fault."""
        c = self.peek()
        if c == b"\n":
            return 1
        if c == b"\r":
            if self.peek(2) == b"\r\n":
                return 2
            raise Fault("bare-cr", self.i)
        return 0

    def blanks(self):
        while self.peek() in self.BLANK:
            self.i += 1

    def number(self, limit, after):
        start = self.i
        while self.peek().isdigit():
            self.i += 1
        if self.i == start:
            raise Fault(after, self.i)
        n = int(self.d[start : self.i])
        if n > limit:
            raise Fault("number-range", start)
        return n

    def quoted(self):
        out = bytearray()
        self.i += 1
        while True:
            c = self.peek()
            if c == b'"':
                self.i += 1
                return bytes(out)
            if c == b"\\":
                self.i += 1
                c = self.peek()
            if c in b"\r\n":
                raise Fault("quoted-line-end", self.i)
            if c == b"\0":
                raise Fault("nul", self.i)
            out += c
            self.i += 1

    def literal(self):
        self.i += 1
        n = self.number(2**32 - 1, "literal-header")
        if self.peek() == b"+":
            self.i += 1
        if self.peek() != b"}":
            raise Fault("literal-header", self.i)
        self.i += 1
        if self.peek() != b"\r":
            raise Fault("literal-line-end", self.i)
        if self.peek(2) != b"\r\n":
            raise Fault("literal-line-end", self.i + 1)
        self.i += 2
        out = self.peek(n) if n else b""
        self.i += n
        return out

    def atom(self):
        start = self.i
        if self.peek() >= b"\x80":
            raise Fault("eight-bit-start", self.i)
        while self.peek() not in self.ATOM_END_SET:
            if self.peek() == b"\0":
                raise Fault("nul", self.i)
            self.i += 1
        return self.d[start : self.i]

    ATOM_END_SET = frozenset(bytes([c]) for c in ATOM_END)

    def text(self):
        """-> (bytes, bare)"""
        c = self.peek()
        if c == b'"':
            return self.quoted(), False
        if c == b"{":
            return self.literal(), False
        return self.atom(), True

    def key(self):
        self.line_fault("missing-key")
        if self.peek() in self.BLANK:
            raise Fault("missing-key", self.i)
        if self.peek() in b"()":
            raise Fault("bad-key", self.i)
        return self.text()[0]

    def line_fault(self, name):
        if self.line_end():
            raise Fault(name, self.i)

    def file(self):
        self.i += 2
        partition = self.header_word()
        guid_at = self.i
        guid = self.header_word()
        if not re.fullmatch(rb"[0-9a-fA-F]{40}", guid):
            raise Fault("file-guid", guid_at)
        size = self.number(2**64 - 1, "file-header")
        if self.peek() != b"}":
            raise Fault("file-header", self.i)
        self.i += 1
        n = 0
        if self.peek() == b"\r":
            n = self.line_end()
        elif self.peek() == b"\n":
            n = 1
        if not n:
            raise Fault("file-line-end", self.i)
        self.i += n
        body = self.peek(size) if size else b""
        self.i += size
        return {"file": {"partition": esc(partition), "guid": guid.decode().lower(),
                         "data": base64.b64encode(body).decode()}}

    def header_word(self):
        if self.peek() in b" \t\r\n()}":
            raise Fault("file-header", self.i)
        w = self.text()[0]
        if self.peek() != b" ":
            raise Fault("file-header", self.i)
        self.i += 1
        return w

    def value(self):
        c = self.peek()
        if self.line_end():
            raise Fault("missing-value", self.i)
        if c == b")":
            raise Fault("unexpected-close", self.i)
        if c == b"(":
            self.i += 1
            out = []
            while True:
                self.blanks()
                self.line_fault("unterminated-list")
                if self.peek() == b")":
                    self.i += 1
                    return {"list": out}
                out.append(self.value())
        if c == b"%":
            if self.peek(2) == b"%(":
                self.i += 2
                out = []
                while True:
                    self.blanks()
                    self.line_fault("unterminated-list")
                    if self.peek() == b")":
                        self.i += 1
                        return {"kv": out}
                    k = self.key()
                    self.blanks()
                    self.line_fault("unterminated-list")
                    if self.peek() == b")":
                        raise Fault("missing-value", self.i)
                    out.append([esc(k), self.value()])
            if self.peek(2) == b"%{":
                return self.file()
            raise Fault("bad-percent", self.i + 1)
        t, bare = self.text()
        return {"nil": True} if bare and t == b"NIL" else {"text": esc(t)}

    def line(self):
        """-> (first word, key, value) of a whole command or data line"""
        start = self.i
        while self.peek() not in b" \t\r\n":
            self.i += 1
        verb = self.d[start : self.i]
        self.line_fault("missing-key")
        self.i += 1
        key = self.key()
        self.blanks()
        v = self.value()
        n = self.line_end()
        if not n:
            raise Fault("trailing-input", self.i)
        self.i += n
        return verb, key, v


def plain(v):
    """A value of Reader as ordinary Python data (bytes, None, list, dict)."""
    if "nil" in v:
        return None
    if "text" in v:
        return unesc(v["text"])
    if "list" in v:
        return [plain(x) for x in v["list"]]
    if "kv" in v:
        return {unesc(k).decode(): plain(x) for k, x in v["kv"]}
    f = v["file"]
    return ("file", f["partition"], f["guid"], base64.b64decode(f["data"]))


def quote(s):
    """A string as every Cyrus reads it: quoted when possible, else a non-synchronising literal."""
    if isinstance(s, str):
        s = s.encode()
    if any(c >= 0x80 or c in (0, 10, 13) for c in s):
        return b"{%d+}\r\n%s" % (len(s), s)
    return b'"' + s.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


# ------------------------------------------------------------------ connection
class Csync:
    """One csync connection. cmd() sends a line and returns all lines of the answer."""

    def __init__(self, port, user="repl", password="test", host="127.0.0.1", login=True,
                 caps=True, timeout=15):
        self.sock = socket.create_connection((host, port), timeout=timeout)
        self.buf = b""
        self.banner = self.reply()
        if login:
            r = self.login(user, password)
            assert r[-1].startswith(b"OK"), r
            if caps:
                self.cmd(b"APPLY CAPABILITIES (SIEVE-MAILBOX)")

    def login(self, user, password):
        ir = base64.b64encode(b"\0" + user.encode() + b"\0" + password.encode())
        return self.cmd(b"AUTHENTICATE PLAIN " + ir)

    def more(self):
        d = self.sock.recv(1 << 16)
        if not d:
            raise EOFError
        self.buf += d

    def logical_line(self):
        pos = 0
        while True:
            i = self.buf.find(b"\n", pos)
            if i < 0:
                self.more()
                continue
            m = re.search(rb"\{(?:[^{}\r\n]* )?(\d+)\+?\}\r?$", self.buf[pos:i])
            if m and self.buf.startswith(b"* "):
                need = i + 1 + int(m.group(1))
                while len(self.buf) < need:
                    self.more()
                pos = need
                continue
            line, self.buf = self.buf[: i + 1], self.buf[i + 1 :]
            return line.rstrip(b"\r\n")

    def reply(self):
        out = []
        while True:
            line = self.logical_line()
            out.append(line)
            if not line.startswith(b"* ") or line.startswith(b"* OK"):
                return out

    def send(self, data):
        self.sock.sendall(data)

    def cmd(self, c, end=b"\r\n"):
        self.send(c + end)
        return self.reply()

    def data(self, c):
        """Send c; -> ([(name, value)], final line)"""
        r = self.cmd(c)
        out = []
        for line in r[:-1]:
            _, k, v = Reader(line + b"\r\n").line()
            out.append((k.decode(), plain(v)))
        return out, r[-1]

    def close(self):
        self.sock.close()


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    c = Csync(int(port), sys.argv[2], sys.argv[3], host)
    for line in sys.argv[4:]:
        print(">", line)
        for r in c.cmd(unesc(line)):
            print("<", esc(r))


if __name__ == "__main__":
    main()
