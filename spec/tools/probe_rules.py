#!/usr/bin/env python3
"""Tries rules of the spec on live servers and writes what they did to spec/observed.jsonl.

Each check sends a few commands on connections of its own and keeps the answers (final lines and
short data). Where all versions are expected to agree with the spec, `expect` says how; a
difference is printed and ends the program with exit code 1.

usage: probe_rules.py 3.2=21006 3.6=21026 ...      csync ports of throw-away replicas
"""
import hashlib
import itertools
import json
import pathlib
import sys
import time

from csync import Csync, esc

OUT = pathlib.Path(__file__).resolve().parent.parent / "observed.jsonl"
CHECKS = []
RUN = "%x" % int(time.time())
COUNT = itertools.count(1)
Z = "0" * 40
ORDER = ("UNIQUEID MBOXNAME MBOXTYPE SYNC_CRC SYNC_CRC_ANNOT LAST_UID HIGHESTMODSEQ RECENTUID RECENTTIME "
         "LAST_APPENDDATE POP3_LAST_LOGIN POP3_SHOW_AFTER UIDVALIDITY PARTITION ACL OPTIONS CREATEDMODSEQ "
         "FOLDERMODSEQ ANNOTATIONS USERFLAGS SINCE_MODSEQ SINCE_CRC SINCE_CRC_ANNOT RECORD").split()


def check(rules, expect=None):
    """Register a check of `rules`; expect: the answers all versions must give, or {version: answers}."""
    def deco(f):
        CHECKS.append((f.__name__.replace("_", "-"), rules.split(), expect, f))
        return f
    return deco


class Server:
    """A port and what a check needs on it. say() returns one short string."""

    def __init__(self, version, port):
        self.version, self.port, self.c = version, port, None
        self.fresh()

    def fresh(self):
        if self.c:
            self.c.close()
        self.c = Csync(self.port)
        return self

    def say(self, text, keep_data=True):
        """Send one command; -> 'data | final' with CLOSED or WAITS where that is the answer."""
        data = text.encode("latin1") if isinstance(text, str) else text
        try:
            self.c.sock.settimeout(3)
            lines = self.c.cmd(data)
        except (EOFError, ConnectionError):
            self.fresh()
            return "CLOSED"
        except TimeoutError:
            self.fresh()
            return "WAITS"
        out = [esc(x) for x in lines]
        return " | ".join(out if keep_data else out[-1:])

    def user(self):
        """A user id no check has used, with an INBOX."""
        u = "p%s%d" % (RUN, next(COUNT))
        r = self.mailbox("user." + u)
        assert r == "OK success", r
        return u

    def mailbox(self, name, records=(), **kw):
        """APPLY MAILBOX; keys by keyword, None leaves a key out."""
        k = dict(UNIQUEID="id" + hashlib.md5(name.encode()).hexdigest()[:22], MBOXNAME='"%s"' % name,
                 LAST_UID=max([r.get("UID", 0) for r in records], default=0),
                 HIGHESTMODSEQ=max([r.get("MODSEQ", 1) for r in records], default=1),
                 RECENTUID=0, RECENTTIME=0, LAST_APPENDDATE=0, POP3_LAST_LOGIN=0, POP3_SHOW_AFTER=0,
                 UIDVALIDITY=1000, PARTITION="default", ACL='"x\tlrswipkxtecdan\t"', OPTIONS="P",
                 CREATEDMODSEQ=1, FOLDERMODSEQ=1,
                 RECORD="(" + " ".join(record(**r) for r in records) + ")")
        k.update(kw)
        body = " ".join("%s %s" % (n, k[n]) for n in ORDER if k.get(n) is not None)
        return self.say("APPLY MAILBOX %%(%s)" % body, keep_data=False)

    def upload(self, *bodies, partition="default"):
        items = b" ".join(b"%%{%s %s %d}\r\n%s" % (partition.encode(), guid(b).encode(), len(b), b)
                          for b in bodies)
        return self.say(b"APPLY MESSAGE (" + items + b")")

    def state(self, name, *keys):
        """Values of GET MAILBOXES, or None."""
        rows, _ = self.c.data(b'GET MAILBOXES ("%s")' % name.encode())
        return {k: (rows[0][1].get(k) or b"-").decode("latin1") for k in keys} if rows else None

    def uids(self, name):
        """'uid:flags' of all records."""
        rows, final = self.c.data(b'GET FULLMAILBOX "%s"' % name.encode())
        if not rows:
            return final.decode()
        return " ".join("%s:%s" % (r["UID"].decode(), ",".join((f or b"NIL").decode() for f in r["FLAGS"]))
                        for r in rows[0][1]["RECORD"])


def guid(body):
    return hashlib.sha1(body).hexdigest()


def body(n):
    return b"Subject: probe %d %s\r\n\r\nbody\r\n" % (n, RUN.encode())


def record(UID, MODSEQ=1, FLAGS="", GUID=None, BODY=None, SIZE=None, DATE=100, UPD=100, extra=""):
    b = BODY if BODY is not None else body(UID)
    return ("%%(UID %s MODSEQ %s LAST_UPDATED %s FLAGS (%s) INTERNALDATE %s SIZE %s GUID %s%s)"
            % (UID, MODSEQ, UPD, FLAGS, DATE, len(b) if SIZE is None else SIZE, GUID or guid(b), extra))


OK = "OK success"
SUM = "NO IMAP_SYNC_CHECKSUM Checksum Failure"
CHANGED = "NO IMAP_SYNC_CHANGED Changed since last sync"
MOVED = "NO IMAP_MAILBOX_MOVED Mailbox exists with another name or uniqueid"
GONE = "NO IMAP_MAILBOX_NONEXISTENT No Such Mailbox"
UNK = "NO Unknown error"
BADP = "NO IMAP_PROTOCOL_BAD_PARAMETERS"
PROT = "NO IMAP_PROTOCOL_ERROR Protocol error"


# ---------------------------------------------------------------- APPLY MAILBOX
@check("CS-MBOX-10 CS-MBOX-14", [BADP] * 13)
def mbox_required(s):
    u = s.user()
    return [s.mailbox("user.%s.a" % u, **{k: None}) for k in (
        "UNIQUEID MBOXNAME HIGHESTMODSEQ LAST_UID RECENTUID RECENTTIME LAST_APPENDDATE "
        "POP3_LAST_LOGIN UIDVALIDITY PARTITION ACL OPTIONS RECORD").split()]


@check("CS-MBOX-2", [OK])
def mbox_optional(s):
    u = s.user()
    return [s.mailbox("user.%s.a" % u, POP3_SHOW_AFTER=None, CREATEDMODSEQ=None, FOLDERMODSEQ=None)]


@check("CS-DLIST-12 CS-MBOX-14", [BADP, BADP, BADP])
def mbox_unreadable_number(s):
    u = s.user()
    return [s.mailbox("user.%s.a" % u, LAST_UID=x) for x in ("x", "-1", "1x")]


@check("CS-MBOX-11", {"3.2": [OK], "3.6": ["CLOSED"], "3.10": ["CLOSED"], "3.12": ["CLOSED"]})
def mbox_type_unknown(s):
    u = s.user()
    return [s.mailbox("user.%s.a" % u, MBOXTYPE="q")]


@check("CS-MBOX-12")
def mbox_sieve_without_capability(s):
    u = s.user()
    s.c.close()
    s.c = Csync(s.port, caps=False)
    r = s.mailbox("user.%s.#sieve" % u, MBOXTYPE="f")
    s.fresh()
    return [r, s.mailbox("user.%s.#sieve" % u, MBOXTYPE="f")]


@check("CS-MBOX-13 CS-MBOX-9")
def mbox_intermediate(s):
    u = s.user()
    n = "user.%s.i" % u
    r = [s.say("APPLY MAILBOX %%(UNIQUEID %sx MBOXNAME %s MBOXTYPE i HIGHESTMODSEQ 5)" % (u, n)),
         s.say("GET MAILBOXES (%s)" % n).replace(u, "USER")]
    r += [s.mailbox(n), str(s.state(n, "MBOXTYPE", "LAST_UID"))]
    r += [s.say("APPLY MAILBOX %%(UNIQUEID %sy MBOXNAME %s MBOXTYPE i HIGHESTMODSEQ 5)" % (u, n)),
          str(s.state(n, "MBOXTYPE", "LAST_UID"))]
    return r


@check("CS-MBOX-16 CS-MBOX-18", [OK, MOVED, OK, MOVED])
def mbox_moved(s):
    u = s.user()
    s.upload(body(1))
    rec = [dict(UID=1)]
    return [s.mailbox("user.%s.a" % u, rec, UNIQUEID=u + "a"), s.mailbox("user.%s.b" % u, rec, UNIQUEID=u + "a"),
            s.mailbox("user.%s.b" % u, rec, UNIQUEID=u + "b"), s.mailbox("user.%s.b" % u, rec, UNIQUEID=u + "c")]


@check("CS-MBOX-18", {"3.2": [OK, MOVED], "3.6": [OK, OK], "3.10": [OK, OK], "3.12": [OK, OK]})
def mbox_replace_empty(s):
    u = s.user()
    return [s.mailbox("user.%s.a" % u, UNIQUEID=u + "a"), s.mailbox("user.%s.a" % u, UNIQUEID=u + "b")]


@check("CS-MBOX-19 CS-CRC-9", [OK, CHANGED, CHANGED, OK, OK])
def mbox_since(s):
    u = s.user()
    n = "user.%s.a" % u
    s.upload(body(1))
    first = s.mailbox(n, [dict(UID=1, MODSEQ=5)])
    return [first, s.mailbox(n, [], LAST_UID=1, HIGHESTMODSEQ=6, SINCE_MODSEQ=4),
            s.mailbox(n, [], LAST_UID=1, HIGHESTMODSEQ=6, SINCE_MODSEQ=5, SINCE_CRC=1),
            s.mailbox(n, [], LAST_UID=1, HIGHESTMODSEQ=6, SINCE_MODSEQ=5, SINCE_CRC=0),
            s.mailbox(n, [], LAST_UID=1, HIGHESTMODSEQ=7, SINCE_MODSEQ=6,
                      SINCE_CRC=s.state(n, "SYNC_CRC")["SYNC_CRC"])]


@check("CS-MBOX-20", [OK, UNK])
def mbox_type_differs(s):
    u = s.user()
    return [s.mailbox("user.%s.a" % u), s.mailbox("user.%s.a" % u, MBOXTYPE="c")]


@check("CS-MBOX-21 CS-MBOX-22 CS-MBOX-23", [OK, SUM, SUM, SUM, OK])
def mbox_backwards(s):
    u = s.user()
    n = "user.%s.a" % u
    s.upload(body(5))
    kw = dict(LAST_UID=5, HIGHESTMODSEQ=5, UIDVALIDITY=2000)
    return [s.mailbox(n, [dict(UID=5, MODSEQ=5)], **kw)] + [
        s.mailbox(n, [], **{**kw, k: v}) for k, v in (
            ("HIGHESTMODSEQ", 4), ("UIDVALIDITY", 1999), ("LAST_UID", 4), ("UIDVALIDITY", 2001))]


@check("CS-MBOX-30")
def mbox_compare(s):
    u = s.user()
    n = "user.%s.a" % u
    s.upload(body(1), body(2), body(4), body(9))
    r = [s.mailbox(n, [dict(UID=1, MODSEQ=5), dict(UID=2, MODSEQ=5, FLAGS="\\Expunged"), dict(UID=4, MODSEQ=5)])]
    kw = dict(LAST_UID=4, HIGHESTMODSEQ=9)
    for what, rec in (
            ("both expunged, GUID differs", dict(UID=2, MODSEQ=6, FLAGS="\\Expunged", BODY=body(9))),
            ("GUID differs", dict(UID=1, MODSEQ=6, BODY=body(9))),
            ("stored modseq higher", dict(UID=1, MODSEQ=4)),
            ("stored expunged, sent live", dict(UID=2, MODSEQ=6)),
            ("gap, sent expunged", dict(UID=3, MODSEQ=6, FLAGS="\\Expunged")),
            ("gap, sent live", dict(UID=3, MODSEQ=6)),
            ("flags", dict(UID=1, MODSEQ=6, FLAGS="\\Seen $x")),
            ("expunged now", dict(UID=4, MODSEQ=7, FLAGS="\\Expunged"))):
        r.append(what + ": " + s.mailbox(n, [rec], **kw))
    return r + [s.uids(n)]


@check("CS-MBOX-25", [OK, PROT, PROT, PROT])
def mbox_record_unreadable(s):
    u = s.user()
    n = "user.%s.a" % u
    return [s.mailbox(n)] + [s.mailbox(n, RECORD=x, LAST_UID=1, HIGHESTMODSEQ=2) for x in (
        "(%(UID 1))", "(%(UID x MODSEQ 1 LAST_UPDATED 1 FLAGS () INTERNALDATE 1 SIZE 1 GUID " + Z + "))",
        "(%(UID 1 MODSEQ 1 LAST_UPDATED 1 FLAGS () INTERNALDATE 1 SIZE 1 GUID abc))")]


@check("CS-MBOX-32")
def mbox_unstaged(s):
    u = s.user()
    n = "user.%s.a" % u
    return [s.mailbox(n, [dict(UID=1, MODSEQ=2)]), str(s.state(n, "LAST_UID", "HIGHESTMODSEQ"))]


@check("CS-MBOX-32 CS-APPLY-11")
def mbox_wrong_content(s):
    u = s.user()
    n = "user.%s.a" % u
    b = body(1)
    r = s.say(b"APPLY MESSAGE (%%{default %s %d}\r\n%s)" % (guid(b).encode(), len(b), b.upper()))
    return [r, s.mailbox(n, [dict(UID=1, MODSEQ=2)]), str(s.state(n, "LAST_UID", "HIGHESTMODSEQ"))]


@check("CS-MBOX-33", [OK, "3:\\Expunged"])
def mbox_expunged_without_bytes(s):
    u = s.user()
    n = "user.%s.a" % u
    return [s.mailbox(n, [dict(UID=3, MODSEQ=2, FLAGS="\\Expunged")]), s.uids(n)]


@check("CS-MBOX-35 CS-EXC-2")
def mbox_crc_mismatch_keeps(s):
    u = s.user()
    n = "user.%s.a" % u
    s.upload(body(1))
    return [s.mailbox(n, [dict(UID=1, MODSEQ=2)], SYNC_CRC=1, SYNC_CRC_ANNOT=2), s.uids(n),
            str(s.state(n, "LAST_UID", "HIGHESTMODSEQ"))]


@check("CS-MBOX-35 CS-CRC-9", [OK, SUM, SUM, OK])
def crc_zero_matches(s):
    u = s.user()
    n = "user.%s.a" % u
    s.upload(body(1))
    return [s.mailbox(n, [dict(UID=1, MODSEQ=2)], SYNC_CRC=0),
            s.mailbox(n, [], LAST_UID=1, HIGHESTMODSEQ=2, SYNC_CRC=1),
            s.mailbox(n, [], LAST_UID=1, HIGHESTMODSEQ=2, SYNC_CRC=s.state(n, "SYNC_CRC")["SYNC_CRC"], SYNC_CRC_ANNOT=1),
            s.mailbox(n, [], LAST_UID=1, HIGHESTMODSEQ=2, SYNC_CRC=s.state(n, "SYNC_CRC")["SYNC_CRC"], SYNC_CRC_ANNOT=0)]


@check("CS-CRC-9", [OK, OK])
def crc_empty_matches_anything(s):
    u = s.user()
    return [s.mailbox("user.%s.a" % u, SYNC_CRC=77), s.mailbox("user.%s.a" % u, SYNC_CRC=78, SYNC_CRC_ANNOT=12345678)]


@check("CS-MBOX-27")
def mbox_annotations_replaced(s):
    u = s.user()
    n = "user.%s.a" % u
    a = '(%(ENTRY /comment USERID "" MODSEQ 3 VALUE one) %(ENTRY /comment USERID x MODSEQ 4 VALUE two))'
    return [s.mailbox(n, ANNOTATIONS=a), s.say("GET ANNOTATION " + n).replace(u, "USER"),
            s.mailbox(n), s.say("GET ANNOTATION " + n)]


@check("CS-MBOX-34")
def mbox_createdmodseq_zeroed(s):
    u = s.user()
    n = "user.%s.a" % u
    return [s.mailbox(n, CREATEDMODSEQ=7), str(s.state(n, "CREATEDMODSEQ")),
            s.mailbox(n, CREATEDMODSEQ=None), str(s.state(n, "CREATEDMODSEQ", "FOLDERMODSEQ"))]


@check("CS-MBOX-36")
def mbox_create_refused(s):
    u = s.user()
    return [s.mailbox("user.%s.a" % u, PARTITION="nowhere"), s.mailbox("user.%s.\xe9" % u),
            s.mailbox("user.%s..b" % u), s.mailbox("user.q%s.sub" % u),
            s.mailbox("DELETED.user.q%s.sub.00000001" % u)]


@check("CS-MBOX-37")
def mbox_missing_parents(s):
    u = s.user()
    r = [s.mailbox("user.%s.a.b.c" % u)]
    rows, _ = s.c.data(b"GET USER " + u.encode())
    return r + [" ".join(sorted(v["MBOXNAME"].decode().replace(u, "USER") for k, v in rows if k == "MAILBOX"))]


@check("CS-MBOX-39 CS-EXC-7")
def mbox_inconsistent_records(s):
    u = s.user()
    r = []
    for i, (recs, kw) in enumerate((
            ([dict(UID=2, MODSEQ=2), dict(UID=1, MODSEQ=2)], dict(HIGHESTMODSEQ=2, LAST_UID=2)),
            ([dict(UID=1, MODSEQ=2), dict(UID=1, MODSEQ=2)], dict(HIGHESTMODSEQ=2, LAST_UID=1)),
            ([dict(UID=5, MODSEQ=2)], dict(HIGHESTMODSEQ=2, LAST_UID=4)),
            ([dict(UID=1, MODSEQ=9)], dict(HIGHESTMODSEQ=2, LAST_UID=1)),
            ([dict(UID=0, MODSEQ=2)], dict(HIGHESTMODSEQ=2, LAST_UID=1)))):
        n = "user.%s.m%d" % (u, i)
        s.upload(body(0), body(1), body(2), body(5))
        r.append(s.mailbox(n, recs, **kw))
        r.append(str(s.state(n, "LAST_UID", "HIGHESTMODSEQ")) + " " + s.uids(n))
    return r


@check("CS-DLIST-19 CS-EXC-9")
def flags_nil(s):
    u = s.user()
    n = "user.%s.a" % u
    s.upload(body(1))
    r = [s.mailbox(n, [dict(UID=1, MODSEQ=2, FLAGS="\\Seen NIL")])]
    s.upload(body(1))
    return r + [s.mailbox(n, [dict(UID=1, MODSEQ=2, FLAGS='\\Seen "NIL"')]), s.uids(n)]


@check("CS-MBOX-4", [OK, "1:\\Answered,\\Flagged,\\Seen,Kw,zz"])
def flags_order(s):
    u = s.user()
    n = "user.%s.a" % u
    s.upload(body(1))
    return [s.mailbox(n, [dict(UID=1, MODSEQ=2, FLAGS="Kw \\SEEN \\bogus zz \\flagged \\Answered kw")]), s.uids(n)]


@check("CS-APPLY-12 CS-MBOX-32")
def staging(s):
    u = s.user()
    s.upload(body(1), partition="second")
    r = ["other partition: " + s.mailbox("user.%s.p" % u, [dict(UID=1, MODSEQ=2)])]
    s.upload(body(1))
    r.append(s.mailbox("user.%s.a" % u, [dict(UID=1, MODSEQ=2)]))
    r.append("again: " + s.mailbox("user.%s.b" % u, [dict(UID=1, MODSEQ=2)]))
    r.append(s.say("RESTART"))
    r.append("after RESTART: " + s.mailbox("user.%s.c" % u, [dict(UID=1, MODSEQ=2)]))
    return r


@check("CS-MBOX-8 CS-CRC-6", [OK, "ok"])
def virtual_annotations(s):
    u = s.user()
    n = "user.%s.a" % u
    s.upload(body(1))
    ns = "/vendor/cmu/cyrus-imapd/"
    extra = ' ANNOTATIONS (%%(ENTRY /comment USERID "" MODSEQ 2 VALUE x) %s)' % " ".join(
        '%%(ENTRY %s%s USERID "" MODSEQ 0 VALUE %s)' % (ns, k, v) for k, v in (
            ("thrid", "0d6e45cef6923db3"), ("savedate", "123"), ("createdmodseq", "2")))
    import zlib
    want = 12345678
    for t in ("1 /comment  x", "1 %sthrid  d6e45cef6923db3" % ns, "1 %ssavedate  123" % ns, "1 %screatedmodseq  2" % ns):
        want ^= zlib.crc32(t.encode())
    r = s.mailbox(n, [dict(UID=1, MODSEQ=2, extra=extra)], SYNC_CRC_ANNOT=want)
    rows, _ = s.c.data(b"GET FULLMAILBOX " + n.encode())
    order = [a["ENTRY"].decode().replace(ns, "") for a in rows[0][1]["RECORD"][0]["ANNOTATIONS"]]
    good = order == ["/comment", "thrid", "savedate", "createdmodseq"] and int(rows[0][1]["SYNC_CRC_ANNOT"]) == want
    return [r, "ok" if good else "%s %s want %d" % (order, rows[0][1]["SYNC_CRC_ANNOT"], want)]


@check("CS-APPLY-49")
def force(s):
    u = s.user()
    n = "user.%s.a" % u
    s.upload(body(1))
    r = [s.mailbox(n, [dict(UID=1, MODSEQ=5)]), s.mailbox(n, [], LAST_UID=1, HIGHESTMODSEQ=4),
         s.say("APPLY FORCE %()"), s.mailbox(n, [], LAST_UID=1, HIGHESTMODSEQ=4),
         str(s.state(n, "HIGHESTMODSEQ"))]
    # other connections, perhaps the same process: the switch can still be on
    s.c.cmd(b"EXIT")
    time.sleep(0.3)
    s.fresh()
    r.append("next connection: " + s.mailbox(n, [], LAST_UID=1, HIGHESTMODSEQ=3))
    # wear the process out, so that later checks meet one without FORCE
    for _ in range(3):
        s.say("GET META ()")
    return r


# ---------------------------------------------------------------- other APPLY commands
@check("CS-APPLY-7 CS-APPLY-8 CS-APPLY-9 CS-APPLY-10")
def reserve(s):
    u = s.user()
    n = "user.%s.a" % u
    s.upload(body(1))
    s.mailbox(n, [dict(UID=1, MODSEQ=2)])
    s.say("RESTART")
    g = guid(body(1))
    t = "APPLY RESERVE %%(PARTITION %s MBOXNAME (%s) GUID (%s))"
    return [s.say(t % ("default", n, g)), s.say(t % ("default", n, Z)).replace(Z, "Z"),
            s.say(t % ("default", "user.none " + n, g)), s.say(t % ("default", "", g)).replace(g, "G"),
            s.say(t % ("second", n, g)).replace(g, "G"),
            s.say(t % ("nowhere", "", g)).replace(g, "G"), s.say(t % ("default", n, "abc")),
            s.say("APPLY RESERVE %(PARTITION default MBOXNAME (x))")]


@check("CS-APPLY-14 CS-APPLY-15")
def expunge(s):
    u = s.user()
    n = "user.%s.a" % u
    s.upload(body(1), body(2))
    s.mailbox(n, [dict(UID=1, MODSEQ=2), dict(UID=2, MODSEQ=3)], UNIQUEID=u + "a")
    t = "APPLY EXPUNGE %%(MBOXNAME %s UNIQUEID %s UID (%s))"
    return [s.say(t % (n, u + "a", "1")), s.uids(n), str(s.state(n, "HIGHESTMODSEQ")),
            s.say(t % (n, u + "z", "1")), s.say(t % (n + "q", u + "a", "1")),
            "unknown last: " + s.say(t % (n, u + "a", "2 9")), s.uids(n),
            "unknown first: " + s.say(t % (n, u + "a", "9 2")),
            s.say("APPLY EXPUNGE %%(MBOXNAME %s UNIQUEID %sa)" % (n, u))]


@check("CS-APPLY-16 CS-APPLY-17 CS-APPLY-18 CS-APPLY-19")
def rename(s):
    u = s.user()
    v = s.user()
    t = "APPLY RENAME %%(OLDMBOXNAME user.%s NEWMBOXNAME user.%s PARTITION %s UIDVALIDITY 5000)"
    s.mailbox("user.%s.a" % u, UNIQUEID=u + "a")
    s.mailbox("user.%s.a.kid" % u, UNIQUEID=u + "k")
    s.mailbox("user.%s.t" % u, UNIQUEID=u + "t")
    x = lambda a, b, p="default": s.say(t % (a, b, p))
    r = ["plain: " + x(u + ".a", u + ".b"), str(s.state("user.%s.b" % u, "UIDVALIDITY")),
         "child stays: " + str(s.state("user.%s.a.kid" % u, "LAST_UID")),
         "same: " + x(u + ".b", u + ".b"), "partition: " + x(u + ".b", u + ".b", "second"),
         str(s.state("user.%s.b" % u, "PARTITION")),
         "exists: " + x(u + ".b", u + ".t"), "missing: " + x(u + ".none", u + ".c"),
         "no partition: " + x(u + ".b", u + ".c", "nowhere"),
         str(s.state("user.%s.c" % u, "PARTITION", "LAST_UID")),
         "inbox: " + x(u, "z" + u), "inbox onto inbox: " + x(u, v),
         "deep: " + x(u + ".b", u + ".x.y.z"),
         "deleted: " + s.say("APPLY RENAME %%(OLDMBOXNAME user.%s.t NEWMBOXNAME DELETED.user.%s.t.00000001 PARTITION default)" % (u, u))]
    rows, _ = s.c.data(b"GET USER " + u.encode())
    return r + [" ".join(q["MBOXNAME"].decode().replace(u, "USER") + ":" + (q.get("MBOXTYPE") or b"").decode()
                         for k, q in rows if k == "MAILBOX")]


@check("CS-APPLY-52", [OK, "{'FOLDERMODSEQ': '5', 'HIGHESTMODSEQ': '5'}"])
def rename_foldermodseq(s):
    u = s.user()
    s.mailbox("user.%s.a" % u, HIGHESTMODSEQ=5, FOLDERMODSEQ=3)
    return [s.say("APPLY RENAME %%(OLDMBOXNAME user.%s.a NEWMBOXNAME user.%s.b PARTITION default)" % (u, u)),
            str(s.state("user.%s.b" % u, "FOLDERMODSEQ", "HIGHESTMODSEQ"))]


@check("CS-APPLY-21 CS-APPLY-22")
def unmailbox(s):
    u = s.user()
    s.mailbox("user.%s.a" % u, UNIQUEID=u + "a")
    s.mailbox("user.%s.a.kid" % u, UNIQUEID=u + "k")
    r = [s.say("APPLY UNMAILBOX user.%s.none" % u), s.say("APPLY UNMAILBOX user.%s.a" % u)]
    look = lambda: " ".join(q["MBOXNAME"].decode().replace(u, "USER") + ":" + (q.get("MBOXTYPE") or b"").decode()
                            for k, q in s.c.data(b"GET USER " + u.encode())[0] if k == "MAILBOX")
    r.append(look())
    r.append(s.say("APPLY UNMAILBOX user.%s.a.kid" % u))
    return r + [look()]


@check("CS-APPLY-23")
def unuser(s):
    u = s.user()
    s.mailbox("user.%s.a" % u)
    s.mailbox("DELETED.user.%s.b.00000001" % u, UNIQUEID=u + "d")
    s.say("APPLY SUB %%(MBOXNAME user.%s.a USERID %s)" % (u, u))
    r = [s.say("APPLY UNUSER nobody" + RUN), s.say('APPLY UNUSER ""'), s.say("APPLY UNUSER " + u)]
    rows, _ = s.c.data(b"GET USER " + u.encode())
    return r + [" ".join(q["MBOXNAME"].decode().replace(u, "USER") for k, q in rows if k == "MAILBOX"),
                s.say("GET META " + u)]


@check("CS-APPLY-24 CS-GET-16 CS-GET-19", [OK, OK, OK, "* LSUB (user.none.a user.none.b) | OK success", OK, OK, OK, OK])
def subscriptions(s):
    u = "sub" + RUN
    t = "APPLY %s %%(MBOXNAME user.none.%s USERID " + u + ")"
    return [s.say(t % ("SUB", "b")), s.say(t % ("SUB", "a")), s.say(t % ("SUB", "a")), s.say("GET META " + u),
            s.say(t % ("UNSUB", "a")), s.say(t % ("UNSUB", "a")), s.say(t % ("UNSUB", "b")), s.say("GET META " + u)]


@check("CS-APPLY-25 CS-GET-29")
def seen(s):
    u = "seen" + RUN
    t = "APPLY SEEN %%(USERID %s UNIQUEID abc LASTREAD %s LASTUID %s LASTCHANGE 3 SEENUIDS %s)"
    return [s.say(t % (u, 1, 9, "1:3,5")), s.say(t % (u, 1, 4, '""')), s.say("GET META " + u),
            s.say("APPLY SEEN %%(USERID %s UNIQUEID abc LASTREAD 1 LASTUID 1 LASTCHANGE 1)" % u)]


@check("CS-APPLY-26 CS-APPLY-27 CS-APPLY-28 CS-APPLY-29 CS-APPLY-30 CS-APPLY-31 CS-GET-14 CS-GET-21 CS-GET-31 CS-GET-34")
def sieve(s):
    u = s.user()
    s.c.close()
    s.c = Csync(s.port, caps=False)
    w = lambda name, text, who=u: s.say("APPLY SIEVE %%(USERID %s FILENAME %s LAST_UPDATE 1000 CONTENT {%d+}\r\n%s)"
                                        % (who, name, len(text), text))
    r = ["store: " + w("a.script", "keep;\r\n"), "bad: " + w("b.script", "no such command\r\n"),
         "other extension: " + w("c.txt", "keep;\r\n"), "no inbox: " + w("a.script", "keep;\r\n", "nobody"),
         "meta: " + s.say("GET META " + u),
         "activate: " + s.say("APPLY ACTIVATE_SIEVE %%(USERID %s FILENAME a.bc)" % u),
         "activate missing: " + s.say("APPLY ACTIVATE_SIEVE %%(USERID %s FILENAME q.bc)" % u),
         "meta: " + s.say("GET META " + u),
         "fetch: " + s.say("GET FETCH_SIEVE %%(USERID %s FILENAME a.script)" % u).replace(u, "USER"),
         "fetch missing: " + s.say("GET FETCH_SIEVE %%(USERID %s FILENAME qqqqqqq.script)" % u),
         "unactivate: " + s.say("APPLY UNACTIVATE_SIEVE %%(USERID %s)" % u),
         "remove bc: " + s.say("APPLY UNSIEVE %%(USERID %s FILENAME a.bc)" % u),
         "remove: " + s.say("APPLY UNSIEVE %%(USERID %s FILENAME a.script)" % u),
         "remove missing: " + s.say("APPLY UNSIEVE %%(USERID %s FILENAME a.script)" % u),
         "fetch short: " + s.say("GET FETCH_SIEVE %%(USERID %s FILENAME a)" % u)]
    import re
    s.fresh()
    return [re.sub(r"LAST_UPDATE [1-9]\d*", "LAST_UPDATE N", x) for x in r]


@check("CS-APPLY-33 CS-APPLY-34 CS-APPLY-35 CS-GET-12 CS-GET-32")
def annotation(s):
    u = s.user()
    n = "user.%s.a" % u
    s.mailbox(n, HIGHESTMODSEQ=5)
    t = 'APPLY ANNOTATION %%(MBOXNAME "%s" ENTRY %s USERID %s VALUE v)'
    d = 'APPLY UNANNOTATION %%(MBOXNAME "%s" ENTRY %s USERID %s)'
    return [s.say(t % (n, "/comment", '""')), s.say(t % (n, "/comment", u)).replace(u, "USER"),
            s.say("GET ANNOTATION " + n).replace(u, "USER"), str(s.state(n, "HIGHESTMODSEQ")),
            "server: " + s.say(t % ("", "/comment", '""')), s.say('GET ANNOTATION ""'),
            s.say(d % ("", "/comment", '""')), s.say(d % (n, "/comment", '""')), s.say(d % (n, "/comment", '""')),
            "no mailbox: " + s.say(t % (n + "q", "/comment", '""')), "get: " + s.say("GET ANNOTATION " + n + "q")]


@check("CS-APPLY-36 CS-APPLY-37 CS-APPLY-38 CS-GET-11 CS-GET-28")
def quota(s):
    root = "user.quota" + RUN
    g = lambda: s.say("GET QUOTA " + root).replace(RUN, "")
    return [s.say("APPLY QUOTA %%(ROOT %s LIMIT 100 STORAGE 100 MESSAGE 5 X-NUM-FOLDERS 7 MODSEQ 3)" % root), g(),
            s.say("APPLY QUOTA %%(ROOT %s LIMIT 50)" % root), g(),
            s.say("APPLY QUOTA %%(ROOT %s LIMIT 50 X-ANNOTATION-STORAGE 4 ANNOTATION-STORAGE 6 MAILBOX 9)" % root), g(),
            s.say("APPLY QUOTA %%(ROOT %s LIMIT 4294967295)" % root), g(),
            s.say("APPLY UNQUOTA " + root), g(), s.say("APPLY UNQUOTA " + root)]


# ---------------------------------------------------------------- GET
@check("CS-GET-3 CS-APPLY-3", [PROT, PROT, PROT])
def unknown_keyword(s):
    return [s.say("GET FOO bar"), s.say("APPLY FOO bar"), s.say("RESTORE FOO bar")]


@check("CS-GET-6 CS-GET-8 CS-GET-9 CS-GET-10")
def get_missing(s):
    return [s.say("GET USER nobody"), s.say("GET META nobody"), s.say("GET MAILBOXES (user.nobody)"),
            s.say("GET UNIQUEIDS (nothing)"), s.say("GET FULLMAILBOX user.nobody"), s.say("GET QUOTA user.nobody")]


@check("CS-GET-8 CS-GET-9")
def get_order(s):
    u = s.user()
    a, b = "user.%s.a" % u, "user.%s.b" % u
    s.mailbox(a, UNIQUEID=u + "a")
    s.mailbox(b, UNIQUEID=u + "b")
    names = lambda q: " ".join(v["MBOXNAME"].decode()[-1] for k, v in s.c.data(q.encode())[0])
    return [names("GET MAILBOXES (%s %s)" % (b, a)), names("GET MAILBOXES (%s %s)" % (a, b)),
            names("GET MAILBOXES (%s %s)" % (a, a)), names("GET UNIQUEIDS (%sb %sa)" % (u, u))]


@check("CS-GET-13 CS-GET-20")
def fetch(s):
    u = s.user()
    n = "user.%s.a" % u
    s.upload(body(1))
    s.mailbox(n, [dict(UID=1, MODSEQ=2)], UNIQUEID=u + "a")
    t = "GET FETCH %%(MBOXNAME %s PARTITION %s UNIQUEID %s GUID %s UID %s)"
    g = guid(body(1))
    x = lambda *a: s.say(t % a).replace(g, "G").replace(RUN, "RUN")
    return ["right: " + x(n, "default", u + "a", g, 1), "other GUID: " + x(n, "default", u + "a", Z, 1),
            "other UID: " + x(n, "default", u + "a", g, 2), "other name: " + x(n + "q", "default", u + "a", g, 1),
            "other partition: " + x(n, "second", u + "a", g, 1), "no partition: " + x(n, "nowhere", u + "a", g, 1),
            "key missing: " + s.say("GET FETCH %%(MBOXNAME %s PARTITION default UNIQUEID %sa UID 1)" % (n, u))]


@check("CS-DLIST-16", ["1023 atom", "1024 literal", "quoted", "quoted", "literal", "literal", "literal", "literal", "quoted"])
def printed_form(s):
    u = "form" + RUN
    out = []
    for value in ("x" * 1023, "x" * 1024, "a b", "a{b", "a%b", "a\\b", "a\xe9b", "a\"b", "a}(b"):
        name = b"{%d+}\r\n%s" % (len(value), value.encode("latin1"))
        s.say(b"APPLY SUB %(MBOXNAME " + name + b" USERID " + u.encode() + b")")
        r = s.say("GET META " + u)
        form = {"{": "literal", '"': "quoted"}.get(r.split("(")[1][0] if "(" in r else "", "atom")
        out.append(("%d " % len(value) if len(value) > 99 else "") + form)
        s.say(b"APPLY UNSUB %(MBOXNAME " + name + b" USERID " + u.encode() + b")")
    return out


# ---------------------------------------------------------------- RESTORE
@check("CS-RESTORE-1 CS-RESTORE-2 CS-RESTORE-3")
def restore(s):
    u = s.user()
    n = "user.%s.a" % u
    s.upload(body(1), body(2))
    s.mailbox(n, [dict(UID=1, MODSEQ=2)], UNIQUEID=u + "a")
    rec = "(%s)" % record(7, 9, BODY=body(2))
    def full(box, **left_out):
        keys = ("UNIQUEID %s MBOXNAME user.%s.%s LAST_UID 7 HIGHESTMODSEQ 20 RECENTUID 0 RECENTTIME 0 LAST_APPENDDATE 0 "
                "POP3_LAST_LOGIN 0 UIDVALIDITY 77 PARTITION default ACL \"x\tlrs\t\" OPTIONS \"\"" % (u + box, u, box))
        for k, v in left_out.items():
            keys = keys.replace("%s %s " % (k, v), "")
        return s.say("RESTORE MAILBOX %(" + keys + " RECORD " + rec + ")")
    r = ["existing: " + s.say("RESTORE MAILBOX %(MBOXNAME " + n + " RECORD " + rec + ")"), s.uids(n),
         str(s.state(n, "HIGHESTMODSEQ")),
         "missing: " + full("b"), s.uids("user.%s.b" % u), str(s.state("user.%s.b" % u, "HIGHESTMODSEQ", "UIDVALIDITY")),
         "missing, no UIDVALIDITY: " + full("d", UIDVALIDITY=77), s.uids("user.%s.d" % u),
         "missing, name only: " + s.say("RESTORE MAILBOX %%(MBOXNAME user.%s.c RECORD " % u + rec + ")"),
         s.uids("user.%s.c" % u),
         "no RECORD: " + s.say("RESTORE MAILBOX %(MBOXNAME " + n + ")"),
         "not staged: " + s.say("RESTORE MAILBOX %(MBOXNAME " + n + " RECORD (" + record(8, 9, BODY=body(99)) + "))")]
    return r


# ---------------------------------------------------------------- bad input after login
@check("CS-EXC-3")
def bad_arguments(s):
    u = s.user()
    return [t.replace(u, "USER") + " -> " + s.say(t).replace(u, "USER")[:120] for t in (
        "GET USER ()", "GET USER NIL", 'GET USER ""', "GET META ()", "GET QUOTA ()", "GET ANNOTATION ()",
        "GET FULLMAILBOX ()", "GET MAILBOXES (NIL)", "GET MAILBOXES (())", "GET MAILBOXES x", "GET UNIQUEIDS (NIL)",
        "GET FETCH ()", "GET FETCH %()", "GET FETCH_SIEVE %%(USERID %s FILENAME x)" % u, "APPLY CAPABILITIES (NIL)",
        "APPLY CAPABILITIES x", "APPLY RESERVE %(PARTITION NIL MBOXNAME () GUID ())", "APPLY RESERVE ()",
        "APPLY SEEN %(USERID NIL UNIQUEID x LASTREAD 1 LASTUID 1 LASTCHANGE 1 SEENUIDS 1)",
        "APPLY SUB %(MBOXNAME NIL USERID NIL)", "APPLY SUB %(MBOXNAME x)", "APPLY UNQUOTA ()", "APPLY UNMAILBOX ()",
        "APPLY UNMAILBOX NIL", "APPLY UNUSER ()", "APPLY UNUSER NIL", "APPLY QUOTA %(LIMIT 1)", "APPLY RENAME %(OLDMBOXNAME a)",
        "APPLY MAILBOX ()", "APPLY MAILBOX x", "APPLY EXPUNGE x", "APPLY FORCE x",
        "APPLY MESSAGE (%{nowhere " + Z + " 1}\r\nx)", "RESTORE MAILBOX %()")]


# ---------------------------------------------------------------- connection
@check("CS-AUTH-3 CS-AUTH-4 CS-AUTH-5 CS-AUTH-6 CS-CONN-18 CS-CONN-12 CS-AUTH-2")
def authentication(s):
    c = Csync(s.port, login=False)
    x = lambda t: " | ".join(esc(l) for l in c.cmd(t.encode()))
    r = [x(t) for t in ("NOOP", "GET USER x", "APPLY MESSAGE ()", "RESTORE MAILBOX x", "RESTART",
                        "AUTHENTICATE", "AUTHENTICATE FOO", "AUTHENTICATE (", "AUTHENTICATE PLAIN =",
                        "AUTHENTICATE PLAIN AHJlcGwAbm8=", "AUTHENTICATE PLAIN !!")]
    if r[-1] == "+ ":
        r.append(x("!!"))
    c.send(b"AUTHENTICATE PLAIN\r\n")
    r.append(esc(c.logical_line()))
    r.append(x("*"))
    c.send(b"AUTHENTICATE PLAIN\r\n")
    r.append(esc(c.logical_line()))
    r.append(x("AHJlcGwAdGVzdA=="))
    r.append(x("AUTHENTICATE PLAIN AHJlcGwAdGVzdA=="))
    r.append(x("EXIT"))
    c.close()
    return r


@check("CS-APPLY-1 CS-LIT-8 CS-CONN-19 CS-CONN-23")
def stepping_over(s):
    """Is what follows a refused or malformed line read as commands? Answers until the last NOOP's."""
    out = []
    for login, line in ((False, b"GET USER {5+}\r\nNOOP\n"), (False, b"APPLY MESSAGE (%%{default %s 5}\r\nNOOP\n)" % Z.encode()),
                        (False, b"APPLY MESSAGE (%%{default %s 5}\r\nNOOP\n)" % guid(b"NOOP\n").encode()),
                        (True, b"GET USER x {5+}\r\nNOOP\n"), (True, b"GET USER %x {5+}\r\nNOOP\n"),
                        (True, b"GET USER x %%{default %s 5}\r\nNOOP\n" % Z.encode()),
                        (True, b"GET USER x {5}\r\nNOOP\n"), (True, b"FOO {5+}\r\nNOOP\n"), (True, b" NOOP"), (True, b"FOO {5+}\r\nNOOP\n x")):
        c = Csync(s.port, login=login)
        c.send(line + b"\r\nRESTART\r\n")
        got = []
        try:
            while not got or got[-1] != "OK Restarting":
                got += [esc(x) for x in c.reply()]
        except (EOFError, ConnectionError):
            got.append("CLOSED")
        out.append("%s%s -> %s" % ("" if login else "before login: ", esc(line).replace(Z, "Z"), " | ".join(got[:-1])))
        c.close()
    return out


@check("CS-CONN-24 CS-AUTH-8")
def not_admin(s):
    c = Csync(s.port, login=False)
    r = [esc(c.login("alice", "test")[-1])] + [esc(c.cmd(t)[-1]) for t in (b"NOOP", b"GET USER x", b"EXIT")]
    c.close()
    return r


@check("CS-CONN-9", ["OK Noop completed", "OK success", "OK Noop completed"])
def pipelined(s):
    s.c.send(b"NOOP\r\nGET USER nobody\r\nNOOP\r\n")
    return [esc(s.c.reply()[-1]) for _ in range(3)]


@check("CS-COMP-1 CS-COMP-4")
def compress(s):
    import zlib
    r = [s.say("COMPRESS X"), s.say("COMPRESS"), s.say("COMPRESS deflate x"), s.say("COMPRESS Deflate")]
    z, i = zlib.compressobj(-1, zlib.DEFLATED, -15), zlib.decompressobj(-15)
    s.c.send(z.compress(b"NOOP\r\n") + z.flush(zlib.Z_SYNC_FLUSH))
    raw = s.c.sock.recv(4096)
    r += [esc(i.decompress(raw)), "ends 00 00 ff ff: %s" % raw.endswith(b"\0\0\xff\xff")]
    s.c.send(z.compress(b"COMPRESS DEFLATE\r\n") + z.flush(zlib.Z_SYNC_FLUSH))
    r.append(esc(i.decompress(s.c.sock.recv(4096))))
    s.fresh()
    return r


@check("CS-CONN-5 CS-CONN-2")
def unix_socket(s):
    import socket
    from cyrus import Cyrus
    c = Csync.__new__(Csync)
    c.sock, c.buf = socket.socket(socket.AF_UNIX), b""
    c.sock.settimeout(5)
    c.sock.connect(str(Cyrus(s.version, "replica").dir / "conf/socket/csync"))
    r = [esc(x).split(" Cyrus sync server")[0] for x in c.reply()]
    for t in (b"GET USER nobody", b"APPLY CAPABILITIES (SIEVE-MAILBOX)", b"AUTHENTICATE PLAIN AHJlcGwAdGVzdA==",
              b"COMPRESS DEFLATE"):
        r.append(" | ".join(esc(x) for x in c.cmd(t)))
    c.close()
    return r


@check("CS-LIT-9")
def limits(s):
    out = []
    for what, make in (("atom", lambda n: b"x" * n), ("quoted", lambda n: b'"' + b"x" * n + b'"'),
                       ("literal", lambda n: b"{%d+}\r\n%s" % (n, b"x" * n))):
        for n in (131072, 131073, 131074, 200000):
            got = []
            try:
                s.c.sock.settimeout(5)
                s.c.send(b"GET MAILBOXES (" + make(n) + b")\r\n")
                while not got or got[-1].startswith("* "):
                    got.append(esc(s.c.logical_line()))
            except (EOFError, ConnectionError):
                got.append("CLOSED")
                s.fresh()
            out.append("%s of %d: %s" % (what, n, " | ".join(got)))
    return out


@check("CS-CONN-50")
def imap_probe(s):
    c = Csync(s.port, login=False)
    r = [esc(c.cmd(b"C01 CAPABILITY")[-1])]
    c.close()
    return r


@check("CS-CONN-51 CS-CONN-52")
def imap_tunnel(s):
    from populate import Imap
    import re
    out = []
    for t in ("CAPABILITY", "SYNCGET USER nobody", "SYNCGET USER %x", "SYNCGET FOO bar", "SYNCAPPLY FORCE %()", "SYNCRESTART"):
        i = Imap(s.port - 1, "repl")
        i.sock.settimeout(3)
        i.n += 1
        i.sock.sendall(b"T%d %s\r\n" % (i.n, t.encode()))
        got, line = "", ""
        try:
            while not line.startswith("T%d " % i.n):
                got += " ".join(re.findall(r"X-[A-Z-]*(?:REPLICATION|SIEVE-MAILBOX)[A-Z-]*", line)) or line
                line = esc(i.f.readline().rstrip(b"\r\n")) or "T%d CLOSED" % i.n
        except TimeoutError:
            line = "x WAITS"
        if "LAST_UPDATE" in got:
            got = "(SIEVE lines)"
        out.append("%s -> %s%s" % (t, got + " | " if got else "", line.split(" ", 1)[-1]))
    a = Imap(s.port - 1, "alice")
    a.n += 1
    a.sock.sendall(b"T%d SYNCGET USER alice\r\n" % a.n)
    out.append("no administrator: " + esc(a.f.readline().rstrip(b"\r\n")))
    return out


def main():
    servers = dict(a.split("=") for a in sys.argv[1:])
    bad, rows = 0, []
    for name, rules, expect, f in CHECKS:
        seen_by = {}
        for version, port in servers.items():
            try:
                seen_by[version] = f(Server(version, int(port)))
            except Exception as e:      # a probe that fails is an observation too
                seen_by[version] = ["probe failed: %s: %s" % (type(e).__name__, e)]
            want = expect.get(version) if isinstance(expect, dict) else expect
            if want is not None and seen_by[version] != want:
                bad += 1
                print("DIFFERS", name, version, seen_by[version], "expected", want)
        groups = {}
        for v, r in seen_by.items():
            groups.setdefault(json.dumps(r), []).append(v)
        rows.append({"check": name, "rules": rules,
                     "observed": [{"versions": v, "answers": json.loads(r)} for r, v in groups.items()]})
    with open(OUT, "w") as out:
        for r in rows:
            out.write(json.dumps(r) + "\n")
    print(len(rows), "checks,", bad, "differences")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
