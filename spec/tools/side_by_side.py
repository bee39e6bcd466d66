#!/usr/bin/env python3
"""Many users at once from a mailtwin store into real Cyrus replicas of every version.

For each version a fresh replica is started (see cyrus.py; needs root) and a mailtwin store is made, with
users of several mailboxes each, messages that several of them share, flags, subscriptions, quotas and
annotations. Then `sync_client -A`, twice: the second run may send nothing, and `mailtwin compare` has to
find both sides equal, record by record. Then changes of every kind for every user, and both runs and the
comparison again. Exits with 1 when a run fails, sends what it should not, or the sides differ.

usage: side_by_side.py [--bin DIR] [--users N] [--jobs N] [VERSION...]
       DIR holds mailtwin and sync_client; default target/debug of this checkout. VERSION: 3.2 3.6 3.10 3.12
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import cyrus

CONF = """configdirectory: {d}/conf
partition-default: {d}/spool
defaultpartition: default
servername: master.example
admins: repl
allowplaintext: yes
sync_authname: repl
sync_password: test
mailtwin_store: {d}/store
"""
FOLDERS = ("", "/Sent", "/Drafts", "/Lists", "/Lists/rust")


class Failed(Exception):
    """What is wrong, for people."""


class Master:
    """A mailtwin store, and the programs that work on it."""

    def __init__(self, folder, programs, port):
        self.folder, self.programs, self.port = folder, programs, port
        (folder / "conf").mkdir(parents=True)
        self.conf = folder / "imapd.conf"
        self.conf.write_text(CONF.format(d=folder))

    def run(self, program, *args, stdin=b"", codes=(0,)):
        r = subprocess.run([self.programs / program, *args[:1], "-C", self.conf, *args[1:]]
                           if program == "mailtwin" else [self.programs / program, "-C", self.conf, *args],
                           input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        out = r.stdout.decode("utf8", "replace")
        if r.returncode not in codes:
            raise Failed("%s %s: exit code %d\n%s" % (program, " ".join(map(str, args)), r.returncode, out))
        return out

    def tool(self, *args, **kw):
        return self.run("mailtwin", *args, **kw)

    def sync(self, *args):
        """-> (mailboxes sent, messages sent, seconds)"""
        began = time.monotonic()
        out = self.run("sync_client", "-S", "127.0.0.1:%d" % self.port, *args)
        found = re.search(r"mailboxes \d+ \((\d+) sent\), messages (\d+)", out)
        if not found:
            raise Failed("sync_client did not count what it sent:\n" + out)
        return int(found[1]), int(found[2]), time.monotonic() - began


def message(text):
    return ("From: a@example.org\r\nSubject: %s\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\n"
            "Message-ID: <%s@example.org>\r\n\r\n%s\r\n" % (text, text.replace(" ", "."), text)).encode()


def fill(master, users):
    shared = [master.folder / ("to-all-%d" % n) for n in range(3)]
    for n, path in enumerate(shared):
        path.write_bytes(message("to all %d" % n))
    for user in users:
        boxes = [user if f == "" else "%s%s" % (user, f) for f in FOLDERS]
        master.tool("create", "user/" + user, *boxes[1:])
        for n, box in enumerate(boxes):
            box = "user/" + user if n == 0 else box
            master.tool("append", box, *map(str, shared[:n % 3 + 1]))
            master.tool("append", "--flag", "\\Seen", "--flag", "$Label%d" % n, box, "-",
                        stdin=message("to %s %d" % (user, n)))
        master.tool("subscribe", user, "Sent")


def change(master, users):
    for n, user in enumerate(users):
        inbox = "user/" + user
        master.tool("append", inbox, "-", stdin=message("again %s" % user))
        master.tool("flag", inbox, "1", "+\\Flagged")
        master.tool("expunge", user + "/Sent", "1")
        master.tool("rename", user + "/Lists/rust", user + "/Lists/ferris")
        if n % 2:
            master.tool("delete", user + "/Drafts")
        master.tool("unsubscribe", user, "Sent")
        master.tool("create", user + "/New")
        master.tool("append", user + "/New", "-", stdin=message("to all again"))


def check(master, users, jobs, what):
    boxes, messages, seconds = master.sync("-j", str(jobs), "-A")
    if not boxes:
        raise Failed("%s: nothing was sent" % what)
    again, more, quiet = master.sync("-j", str(jobs), "-A")
    if again or more:
        raise Failed("%s: a second run sent %d mailboxes and %d messages" % (what, again, more))
    master.tool("compare", "127.0.0.1:%d" % master.port, *users)
    print("  %-8s %5d mailboxes, %5d messages in %6.2f s; then nothing, in %5.2f s; equal"
          % (what, boxes, messages, seconds, quiet), flush=True)


def one(version, programs, users, jobs):
    replica = cyrus.Cyrus(version, "replica")
    # A place and ports of its own, beside probes and recordings.
    replica.inner = pathlib.Path("/var/tmp/mailtwin-side") / version
    replica.dir = replica.root / replica.inner.relative_to("/")
    replica.imap, replica.csync = replica.imap + 900, replica.csync + 900
    replica.stop()
    replica.start()
    try:
        with tempfile.TemporaryDirectory(prefix="mailtwin-side-") as folder:
            master = Master(pathlib.Path(folder), programs, replica.csync)
            fill(master, users)
            check(master, users, jobs, "first")
            change(master, users)
            check(master, users, jobs, "changed")
    finally:
        replica.stop()
        shutil.rmtree(replica.dir, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description="many users at once into real Cyrus replicas")
    parser.add_argument("--bin", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parents[2] / "target/debug")
    parser.add_argument("--users", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("versions", nargs="*", default=list(cyrus.VERSIONS))
    args = parser.parse_args()
    users = ["side%03d" % n for n in range(args.users)]
    failed = False
    for version in args.versions:
        print("Cyrus %s" % version, flush=True)
        try:
            one(version, args.bin.resolve(), users, args.jobs)
        except Failed as error:
            failed = True
            print("  FAILED: %s" % error, flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
