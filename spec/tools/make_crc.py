#!/usr/bin/env python3
"""Writes spec/vectors/crc.jsonl: strings, computed mailboxes and mailboxes of real servers.

Every mailbox taken from a server is recomputed here from GET FULLMAILBOX and must give the
numbers of GET MAILBOXES; a difference ends the program.

usage: make_crc.py [3.6=21021 ...]      (servers filled by populate.py; user alice)
"""
import json
import pathlib
import sys
import zlib

from csync import Csync, esc, quote, unesc

OUT = pathlib.Path(__file__).resolve().parent.parent / "vectors"
NS = "/vendor/cmu/cyrus-imapd/"


def basic_string(r):
    """[CS-CRC-3]; None for an expunged record."""
    low = [unesc(f).lower() for f in r["flags"]]
    if b"\\expunged" in low:
        return None
    fc = 0
    for f in low:
        fc ^= zlib.crc32(f)
    return ("%d %d %d (%d) %d %s" % (r["uid"], r["modseq"], r["last_updated"], fc,
                                     r["internaldate"], r["guid"])).encode()


def annot_strings(r):
    """[CS-CRC-5]; the strings of one record's annotations."""
    if b"\\expunged" in [unesc(f).lower() for f in r["flags"]]:
        return []
    out = []
    for a in r["annotations"]:
        if a["userid"] is None:
            continue
        v = unesc(a["value"])
        if a["entry"] == NS + "thrid":
            v = b"%x" % int(v, 16)
        out.append(b"%d %s %s " % (r["uid"], unesc(a["entry"]), unesc(a["userid"])) + v)
    return out


def mailbox(note, source, records):
    """A vector with the strings and CRCs of every record and both totals."""
    basic, annot, rows = 0, 12345678, []
    for r in records:
        b = basic_string(r)
        bc = zlib.crc32(b) if b else 0
        parts = [{"string": esc(s), "crc": zlib.crc32(s)} for s in annot_strings(r)]
        basic ^= bc
        for p in parts:
            annot ^= p["crc"]
        rows.append({"record": r, "basic_string": esc(b) if b else None, "basic_crc": bc,
                     "annot": parts})
    return {"kind": "mailbox", "note": note, "source": source, "records": rows,
            "sync_crc": basic, "sync_crc_annot": annot}


def rec(uid, modseq, upd, date, guid, flags=(), annots=(), size=1):
    return {"uid": uid, "modseq": modseq, "last_updated": upd, "internaldate": date, "size": size,
            "guid": guid, "flags": [esc(f) for f in flags],
            "annotations": [{"entry": e, "userid": u, "modseq": m, "value": esc(v)}
                            for e, u, m, v in annots]}


def wire_record(r):
    """A RECORD element of csync.plain as a vector's record."""
    def text(x):
        return None if x is None else esc(x)
    flags = [b"NIL" if f is None else f for f in r["FLAGS"]]
    return {"uid": int(r["UID"]), "modseq": int(r["MODSEQ"]), "last_updated": int(r["LAST_UPDATED"]),
            "internaldate": int(r["INTERNALDATE"]), "size": int(r["SIZE"]),
            "guid": r["GUID"].decode(), "flags": [esc(f) for f in flags],
            "annotations": [{"entry": text(a["ENTRY"]), "userid": text(a["USERID"]),
                             "modseq": int(a["MODSEQ"]), "value": text(a["VALUE"] or b"")}
                            for a in r.get("ANNOTATIONS", [])]}


def live(version, port, user):
    """Every mailbox of user on the server; `version` may carry "+conversations"."""
    c = Csync(port)
    boxes = [v for k, v in c.data(b"GET USER " + user)[0] if k == "MAILBOX"]
    for box in boxes:
        name = box["MBOXNAME"]
        full = c.data(b"GET FULLMAILBOX " + quote(name))[0][0][1]
        v = mailbox("%s of populate.py" % esc(name), "Cyrus " + version.replace("+", " with "),
                    [wire_record(r) for r in full["RECORD"]])
        want = int(box["SYNC_CRC"]), int(box["SYNC_CRC_ANNOT"])
        if want != (v["sync_crc"], v["sync_crc_annot"]):
            raise SystemExit("%s %s: server says %r, computed %r" % (
                version, esc(name), want, (v["sync_crc"], v["sync_crc_annot"])))
        if v["records"] or name.endswith(b".Empty"):
            yield v
    c.cmd(b"EXIT")


# facts observed on live servers, section "examples" of spec/05-crc.md
STRINGS = [
    r"\\seen", r"\\deleted", r"\\answered", r"\\flagged", r"\\draft", "myflag", "$label1", "nil",
    "1 63 1795411001 (1401416362) 1795410999 371e82709f6e6817183d8e957af936f682960394",
    "2 13 1795410663 (0) 1795410663 846c64d1cfc4305f18481aa265cf40fe2f8e3150",
    "1 /vendor/cmu/cyrus-imapd/thrid  88894f44c9306106",
    "1 /vendor/cmu/cyrus-imapd/savedate  1795408569",
    "1 /vendor/cmu/cyrus-imapd/createdmodseq  3",
    "13 /vendor/cmu/cyrus-imapd/thrid  d6e45cef6923db3",
    "1 /comment  shared note", "1 /comment user1 priv note",
    r"2 /comment  line1\x0d\x0a\xc3\xa9%%",
]
D = 1795408569
FIVE = [  # five records of one mailbox of a 3.6.1 server: SYNC_CRC 4240797161
    rec(1, 3, D, D, "197a96a5c2596a1449abce1c9300cadab59f016d"),
    rec(2, 4, D, D, "5cad9d2301a480fed60ecbaf0b6e7176472ed9b7", (b"\\Seen", b"myflag")),
    rec(3, 5, D, D, "f18b73078ca260b914fbc644aa606522ce921425"),
    rec(4, 6, D, D, "802ee2b726a282a6bf22b466fb1f9e31de7ac253", (b"\\Seen", b"myflag")),
    rec(5, 7, D, D, "455dcc08ceaf8abf6d08179f04dcf4c452778a41"),
]
G = "a9993e364706816aba3e25717850c26c9cd0d89d"
COMPUTED = [
    ("empty mailbox", []),
    ("all system flags; flag order and case do not count",
     [rec(1, 2, 3, 4, G, (b"\\FLAGGED", b"\\draft", b"\\Seen", b"\\Answered", b"\\Deleted"))]),
    ("an expunged record counts for nothing, its annotations neither",
     [rec(1, 2, 3, 4, G, (b"\\Expunged", b"\\Seen"), [("/comment", "", 2, b"x")])]),
    ("dates before 1970 are signed; largest uid and modseq",
     [rec(4294967295, 18446744073709551615, -1, -86400, G)]),
    ("keywords in mixed case; a keyword named NIL", [rec(1, 2, 3, 4, G, (b"$Label1", b"NIL"))]),
    ("the size does not count", [rec(1, 2, 3, 4, G, size=0)]),
    ("two equal records cancel each other out apart from the uid",
     [rec(1, 2, 3, 4, G), rec(2, 2, 3, 4, G)]),
    ("thrid loses its leading zeros in the hash; all zeros but one",
     [rec(1, 2, 3, 4, G, (), [(NS + "thrid", "", 0, b"0d6e45cef6923db3")]),
      rec(2, 2, 3, 4, G, (), [(NS + "thrid", "", 0, b"0000000000000001")])]),
    ("shared and private annotations; values with CRLF, NUL, 8-bit; empty value",
     [rec(1, 2, 3, 4, G, (), [("/comment", "", 2, b"s"), ("/comment", "alice", 2, b"p"),
                              ("/comment", "bob", 2, b"a\r\nb\x00\xff"), ("/altsubject", "", 2, b"")])]),
    ("savedate and createdmodseq in decimal",
     [rec(1, 2, 3, 4, G, (), [(NS + "savedate", "", 0, b"1795408569"),
                              (NS + "createdmodseq", "", 0, b"2")])]),
]


def main():
    rows = [{"kind": "string", "string": s, "crc": zlib.crc32(unesc(s))} for s in STRINGS]
    five = mailbox("five records, basic CRC only (annotations not kept)", "Cyrus 3.6.1", FIVE)
    assert five["sync_crc"] == 4240797161
    del five["sync_crc_annot"]
    rows.append(five)
    rows += [mailbox(note, "computed", r) for note, r in COMPUTED]
    for a in sys.argv[1:]:
        version, port = a.split("=")
        rows += live(version, int(port), b"alice")
    for i, r in enumerate(rows):
        rows[i] = {"id": "CRC-%03d" % (i + 1), **r}
    with open(OUT / "crc.jsonl", "w") as f:
        for r in rows:
            f.write(json.dumps(r) + "\n")
    print(len(rows), "vectors")


if __name__ == "__main__":
    main()
