#!/usr/bin/env python3
"""Fills a throw-away Cyrus with mail of every kind that replication has to carry.

usage: populate.py VERSION [ROLE [--threads]]      the server must have been started by cyrus.py
"""
import re
import socket
import sys

from csync import Csync
from cyrus import Cyrus


class Imap:
    """A minimal IMAP client: one command, lines back; literals are sent as {n+}."""

    def __init__(self, port, user, password="test"):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.f = self.sock.makefile("rb")
        self.n = 0
        self.f.readline()
        self("LOGIN %s %s" % (user, password))

    def __call__(self, cmd, *literals, ok=True):
        """Send cmd; every %L in it is replaced by the next literal. -> untagged lines"""
        self.n += 1
        tag = b"T%d" % self.n
        parts = (cmd.encode() if isinstance(cmd, str) else cmd).split(b"%L")
        out = tag + b" " + parts[0]
        for lit, rest in zip(literals, parts[1:], strict=True):
            out += b"{%d+}\r\n%s%s" % (len(lit), lit, rest)
        self.sock.sendall(out + b"\r\n")
        lines = []
        while True:
            line = self.f.readline()
            if not line:
                raise EOFError
            while m := re.search(rb"\{(\d+)\}\r\n$", line):
                line += self.f.read(int(m.group(1))) + self.f.readline()
            if line.startswith(tag):
                if ok and not line.startswith(tag + b" OK"):
                    raise RuntimeError("%r -> %r" % (cmd, line))
                return lines
            lines.append(line)

    def append(self, box, message, flags="", date='"01-Jan-2020 10:00:00 +0000"'):
        self('APPEND "%s" (%s) %s %%L' % (box, flags, date), message)


def message(n, body=None, subject="message"):
    """Message n, the same bytes on every run."""
    return (b"From: alice@example.org\r\nTo: bob@example.org\r\nSubject: %s %d\r\n"
            b"Date: Wed, 01 Jan 2020 10:00:00 +0000\r\nMessage-ID: <m%d@example.org>\r\n"
            b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Content-Transfer-Encoding: 8bit\r\n\r\n" % (subject.encode(), n, n)
            + (b"Body of message %d.\r\n" % n if body is None else body))


BOXES = ["INBOX.Work", "INBOX.Work.Deep.Nested", "INBOX.with space", "INBOX.M&APw-ller",
         "INBOX.Empty", "INBOX.Long." + "x" * 200]


def alice(c):
    """Mailboxes, messages, flags, keywords and annotations of alice."""
    a = Imap(c.imap, "alice")
    for box in BOXES:
        a('CREATE "%s"' % box)
        a('SUBSCRIBE "%s"' % box)
    for n in range(1, 6):
        a.append("INBOX", message(n), ["", "\\Seen myflag", "\\Flagged", "\\Seen \\Answered $Label1", "\\Draft \\Deleted"][n - 1])
    a.append("INBOX.Work", message(6, b"8-bit: \xc3\xa9\xff\x80\r\n"), "$Forwarded")
    a.append("INBOX.Work", message(7, b""))
    a.append("INBOX.Work", message(8, b"x" * 5000 + b"\r\n"))
    a.append("INBOX.Work", message(1), "\\Seen")
    a.append("INBOX.Work.Deep.Nested", message(9, b".\r\n..\r\nOK success\r\n* MAILBOX %(\r\n) {3+}\r\n"))
    a.append("INBOX.with space", message(10), " ".join("kw%d" % k for k in range(45)))
    a.append("INBOX.M&APw-ller", message(11), "\\Seen $NIL")
    # an expunged record, and one that stays
    a('SELECT "INBOX.with space"')
    a.append("INBOX.with space", message(12))
    a("UID STORE 1 +FLAGS (\\Deleted)")
    a("EXPUNGE")
    # message annotations: shared, private, binary
    a("SELECT INBOX")
    a('STORE 1 ANNOTATION (/comment (value.shared "shared note"))')
    a('STORE 1 ANNOTATION (/comment (value.priv "private note of alice"))')
    a("STORE 2 ANNOTATION (/comment (value.shared %L))", b"line1\r\n\xc3\xa9%% \"x\"\\")
    a("STORE 3 ANNOTATION (/altsubject (value.shared %L))", bytes(range(1, 256)) * 3)
    # mailbox annotations
    a('SETMETADATA INBOX (/shared/comment "a mailbox comment")')
    a('SETMETADATA INBOX (/private/comment %L)', b"private\r\n\xc3\xa9%")
    a('SETMETADATA INBOX.Work (/shared/specialuse NIL)', ok=False)
    a('UNSELECT', ok=False)
    a("LOGOUT")


def others(c):
    """ACL, quota, bob's seen state, sieve scripts, a shared mailbox, a server annotation."""
    adm = Imap(c.imap, "cyrus")
    adm("SETACL user.alice.Work bob lrs")
    adm("SETQUOTA user.alice (STORAGE 100000 MESSAGE 5000)")
    adm("CREATE shared.news", ok=False)
    adm("SETACL shared.news anyone lrsp", ok=False)
    adm('SETMETADATA "" (/shared/comment "server comment")', ok=False)
    b = Imap(c.imap, "bob")
    b("SELECT user.alice.Work")
    b("STORE 1:2 +FLAGS (\\Seen)")
    b("UNSELECT")
    b("SUBSCRIBE user.alice.Work")
    b("LOGOUT")
    s = Csync(c.csync, caps=False)
    for name, text in (("first", b'require ["fileinto"];\r\nfileinto "INBOX.Work";\r\n'),
                       ("second", b"# caf\xc3\xa9\r\nkeep;\r\n")):
        r = s.cmd(b'APPLY SIEVE %%(USERID alice FILENAME %s.script LAST_UPDATE 1577872800 CONTENT {%d+}\r\n%s)'
                  % (name.encode(), len(text), text))
        assert r[-1].startswith(b"OK"), r
    r = s.cmd(b"APPLY ACTIVATE_SIEVE %(USERID alice FILENAME first.bc)")
    assert r[-1].startswith(b"OK"), r
    s.cmd(b"EXIT")


def nil_keyword(c):
    """A keyword that no Cyrus pair can replicate; see [CS-DLIST-19]."""
    Imap(c.imap, "alice").append("INBOX.M&APw-ller", message(13), "\\Seen NIL $NIL")


def threads(c):
    """Forty messages; with conversations on, some thread ids begin with a zero digit."""
    a = Imap(c.imap, "alice")
    a("CREATE INBOX.Threads")
    for n in range(100, 140):
        a.append("INBOX.Threads", message(n, subject="thread of its own"))
    a("LOGOUT")


def users(c):
    adm = Imap(c.imap, "cyrus")
    for u in ("alice", "bob"):
        adm("CREATE user.%s" % u)
    adm("LOGOUT")


def populate(c):
    users(c)
    alice(c)
    others(c)


if __name__ == "__main__":
    server = Cyrus(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "master")
    populate(server)
    nil_keyword(server)
    if "--threads" in sys.argv:
        threads(server)
