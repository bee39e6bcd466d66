#!/usr/bin/env python3
"""Records spec/sessions/VERSION/*.jsonl between the stock sync_client and sync_server.

A fresh pair of servers is started for each version and filled by populate.py; then the steps of
STEPS run one after another, each changing something first and then syncing through record.py.

usage: sessions.py VERSION...        as root; see spec/sessions/README.md
"""
import os
import pathlib
import sys

import populate
from csync import Csync, quote
from cyrus import Cyrus
from populate import Imap, message
from record import Recorder

OUT = pathlib.Path(__file__).resolve().parent.parent / "sessions"


def write_log(m, log):
    """A rolling log that sync_client may open for writing, as it does in order to lock it."""
    (m.dir / "log").write_bytes(log)
    os.chown(m.dir / "log", m.uid, m.gid)


def nothing(m, r):
    """nothing changed"""


def changes(m, r):
    """append, flag, keyword, expunge, subscribe, annotate, quota, sieve"""
    a = Imap(m.imap, "alice")
    a.append("INBOX", message(20), "\\Seen new-keyword")
    a.append("INBOX.Work", message(2))          # bytes that the replica has in another mailbox
    a("SELECT INBOX")
    a("UID STORE 1 +FLAGS (\\Answered)")
    a("UID STORE 2 -FLAGS (myflag)")
    a('UID STORE 4 ANNOTATION (/comment (value.shared "later"))')
    a('UID STORE 1 ANNOTATION (/comment (value.priv NIL))')
    a("UID STORE 5 +FLAGS (\\Deleted)")
    a("EXPUNGE")
    a('UNSUBSCRIBE "INBOX.with space"')
    a("CREATE INBOX.New")
    a("SUBSCRIBE INBOX.New")
    a("LOGOUT")
    adm = Imap(m.imap, "cyrus")
    adm("SETQUOTA user.alice (STORAGE 200000)")
    adm("SETACL user.alice.Work bob lrsw")
    adm("LOGOUT")
    c = Csync(m.csync, caps=False)
    text = b"discard;\r\n"
    assert c.cmd(b"APPLY SIEVE %%(USERID alice FILENAME third.script LAST_UPDATE 1577872900 "
                 b"CONTENT {%d+}\r\n%s)" % (len(text), text))[-1].startswith(b"OK")
    assert c.cmd(b"APPLY ACTIVATE_SIEVE %(USERID alice FILENAME third.bc)")[-1].startswith(b"OK")
    c.cmd(b"EXIT")


def rename(m, r):
    """a mailbox with messages renamed, another moved below it"""
    a = Imap(m.imap, "alice")
    a('RENAME "INBOX.with space" INBOX.Renamed')
    a("RENAME INBOX.New INBOX.Renamed.Below")


def delete(m, r):
    """a mailbox deleted over IMAP: with delayed delete that is a rename into DELETED"""
    Imap(m.imap, "alice")("DELETE INBOX.Empty")


def gone(m, r):
    """a mailbox of the DELETED branch removed for good"""
    adm, log = Imap(m.imap, "cyrus"), b""
    for line in adm('LIST "" "DELETED.user.alice.*"'):
        name = line.split()[-1]
        adm(b"DELETE " + name)
        log += b"UNMAILBOX " + name + b"\n"
    write_log(m, log)


def one_mailbox(m, r):
    """one new message in one mailbox"""
    Imap(m.imap, "alice").append("INBOX.Work", message(21))


def replica_flag(m, r):
    """a flag changed on the replica, another on the master"""
    a = Imap(r.imap, "alice")
    a("SELECT INBOX")
    a("UID STORE 3 +FLAGS (\\Seen)")
    a("LOGOUT")
    a = Imap(m.imap, "alice")
    a("SELECT INBOX")
    a("UID STORE 3 +FLAGS (\\Answered)")
    a("LOGOUT")


def split_brain(m, r):
    """different messages appended under the same UID on both sides, and one more on the master"""
    Imap(r.imap, "alice").append("INBOX.Work", message(30, subject="on the replica"))
    a = Imap(m.imap, "alice")
    a.append("INBOX.Work", message(31, subject="on the master"))
    a.append("INBOX.Work", message(32, subject="on the master"))


def replica_only(m, r):
    """a message that only the replica has"""
    Imap(r.imap, "alice").append("INBOX.Renamed", message(33, subject="on the replica"))


def bobs_mailboxes(m, r):
    """bob gets mailboxes A and B with a message each"""
    b = Imap(m.imap, "bob")
    for n, box in enumerate(("INBOX.A", "INBOX.B")):
        b("CREATE " + box)
        b.append(box, message(50 + n))


def swap(m, r):
    """two mailboxes exchange their names"""
    b = Imap(m.imap, "bob")
    for x, y in (("A", "Tmp"), ("B", "A"), ("Tmp", "B")):
        b("RENAME INBOX.%s INBOX.%s" % (x, y))


def tombstone(m, r):
    """a mailbox deleted at once, not renamed into DELETED"""
    Imap(m.imap, "alice")("CREATE INBOX.Gone")
    m.sync_client(r.csync, "-u", "alice")
    m.reconfigure("delete_mode: delayed", "delete_mode: immediate")
    Imap(m.imap, "alice")("DELETE INBOX.Gone")
    m.reconfigure("delete_mode: immediate", "delete_mode: delayed")


def purge(m, r):
    """what the master's deletions left on the replica removed there by hand"""
    c = Csync(r.csync)
    for k, v in c.data(b"GET USER alice")[0]:
        left = v["MBOXNAME"] if k == "MAILBOX" else b""
        if left.startswith(b"DELETED.") or left == b"user.alice.Gone":
            c.cmd(b"APPLY UNMAILBOX " + quote(left))
    c.cmd(b"EXIT")


def log_file(m, r):
    """actions of a rolling log"""
    a = Imap(m.imap, "alice")
    a.append("INBOX", message(40))
    a('UNSUBSCRIBE "INBOX.M&APw-ller"')
    a("LOGOUT")
    b = Imap(m.imap, "bob")
    b("UNSUBSCRIBE user.alice.Work")
    b.append("INBOX", message(41), "\\Flagged")
    b("LOGOUT")
    adm = Imap(m.imap, "cyrus")
    adm("CREATE user.carol")
    adm("SETACL user.carol cyrus lrswipkxtecdan")
    adm("DELETE user.carol")
    adm("SETQUOTA user.bob (STORAGE 4000)")
    adm("LOGOUT")
    adm = Imap(m.imap, "cyrus")
    try:
        adm('SETMETADATA shared.news (/shared/comment "more news")')
    except EOFError:
        print("imapd died at SETMETADATA")     # seen with 3.6.1
    write_log(m, (
        'MAILBOX user.alice\nAPPEND user.alice\nMAILBOX user.bob\nMAILBOX shared.news\n'
        'SUB alice user.alice.M&APw-ller\nSUB bob user.alice.Work\nQUOTA user.bob\nMETA bob\n'
        'ANNOTATION shared.news\nANNOTATION ""\nUNUSER carol\nUSER bob\n').encode())


def keyword_nil(m, r):
    """a message with a keyword named NIL"""
    populate.nil_keyword(m)


# (file, arguments of sync_client, change, keep compression)
STEPS = [
    ("01-initial", ["-u", "alice"], nothing, False),
    ("02-noop", ["-u", "alice"], nothing, False),
    ("03-incremental", ["-u", "alice"], changes, False),
    ("04-rename", ["-u", "alice"], rename, False),
    ("05-delete", ["-u", "alice"], delete, False),
    ("06-delete-for-good", ["-u", "alice"], gone, False),
    ("06-unmailbox", ["-r", "-f", "{log}"], nothing, False),
    ("06-delete-at-once", ["-u", "alice"], tombstone, False),
    ("07-all", ["-A"], purge, False),
    ("08-mailbox", ["-m", "user.alice.Work"], one_mailbox, False),
    ("09-meta", ["-s", "alice", "bob"], nothing, False),
    ("10-log", ["-r", "-f", "{log}"], log_file, False),
    ("11-replica-flag", ["-u", "alice"], replica_flag, False),
    ("12-split-brain", ["-u", "alice"], split_brain, False),
    ("13-replica-only", ["-m", "user.alice.Renamed"], replica_only, False),
    ("14-after-repair", ["-u", "alice"], nothing, False),
    ("15-deflate", ["-z", "-u", "bob"], bobs_mailboxes, True),
    ("16-swap", ["-u", "bob"], swap, False),
    ("17-no-copyback", ["-O", "-u", "alice"], replica_flag, False),
    ("18-keyword-nil", ["-m", "user.alice.M&APw-ller"], keyword_nil, False),
]


# the same with conversations on, on a fresh pair
CONVERSATIONS = [
    ("19-conversations-initial", ["-u", "alice"], lambda m, r: populate.threads(m), False),
    ("20-conversations-changes", ["-u", "alice"], changes, False),
]
CONVERSATIONS[0][2].__doc__ = "40 messages more, conversations on in both servers"


def equal(m, r, user):
    """Do both servers announce the same mailboxes with the same CRCs?"""
    out = []
    for c in (m, r):
        s = Csync(c.csync)
        out.append({v["MBOXNAME"]: (v["UNIQUEID"], v["SYNC_CRC"], v.get("SYNC_CRC_ANNOT"))
                    for k, v in s.data(b"GET USER " + quote(user))[0] if k == "MAILBOX"})
        s.cmd(b"EXIT")
    return out[0] == out[1]


def record(version, steps, extra=""):
    m, r = Cyrus(version, "master", extra), Cyrus(version, "replica", extra)
    for c in (m, r):
        c.stop()
        c.start()
    populate.populate(m)
    out = OUT / version
    out.mkdir(parents=True, exist_ok=True)
    banner = Csync(m.csync, login=False).banner[-1].decode()
    for name, args, change, keep in steps:
        change(m, r)
        rec = Recorder(m.imap + 4, r.csync, keep)
        args = [a.format(log=m.inner / "log") for a in args]
        code, text = m.sync_client(m.imap + 4, *args)
        rec.close()
        same = equal(m, r, "bob" if "bob" in args else "alice")
        rec.write(out / (name + ".jsonl"), session=name, version=version,
                  server=banner.split("server ")[-1], client="sync_client " + " ".join(args),
                  before=change.__doc__, exit=code, output=text, equal_afterwards=same)
        print(version, name, "exit", code, "entries", len(rec.entries), "equal", same,
              text.strip().replace("\n", " | ")[:150])


if __name__ == "__main__":
    for v in sys.argv[1:]:
        record(v, STEPS)
        record(v, CONVERSATIONS, "conversations: yes\nconversations_db: twoskip")
