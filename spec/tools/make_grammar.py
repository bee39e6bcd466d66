#!/usr/bin/env python3
"""Writes spec/vectors/grammar-valid.jsonl and grammar-invalid.jsonl.

Values, faults and offsets come from csync.Reader. With --live VERSION=PORT... every command
vector is also sent to real servers, and what each of them did is kept in the vector.

usage: make_grammar.py [--live 3.6=21021 ...]
"""
import concurrent.futures
import json
import pathlib
import sys

from csync import Fault, Incomplete, Reader, esc
from probe_raw import probe

OUT = pathlib.Path(__file__).resolve().parent.parent / "vectors"
G = b"a9993e364706816aba3e25717850c26c9cd0d89d"
Z = b"0" * 40
CAP = b"APPLY CAPABILITIES "
RES = b"APPLY RESERVE %(PARTITION "

# (line without its CRLF or whole, note); a line that ends in LF is taken as it is
COMMANDS = [
    (b"GET USER user1", "atom"),
    (b"GET USER user1\n", "a bare LF ends a line"),
    (b'GET USER "user1"', "quoted"),
    (b"GET USER {5+}\r\nuser1", "literal, non-synchronising"),
    (b"GET USER {5}\r\nuser1", "literal, synchronising form: no continuation is awaited; fixed Cyrus servers die of it"),
    (b"get user user1", "the first word and the key are case-insensitive; case is kept in the value"),
    (b"GET USER  user1", "several blanks before a value"),
    (b"GET USER\tuser1", "HTAB is a blank"),
    (b"GET\tUSER user1", "HTAB after the first word"),
    (b'GET "USER" user1', "quoted key"),
    (b'GET "USER"user1', "no blank after a quoted key"),
    (b"GET {4+}\r\nUSER user1", "literal key"),
    (b"GET {4+}\r\nUSERuser1", "no blank after a literal key"),
    (b'GET "" user1', "empty key (no such command)"),
    (b"GET %A user1", "a percent sign may begin a key"),
    (b"GET NIL user1", "NIL as key is text"),
    (b"GET USER a%b", "percent inside an atom"),
    (b"GET USER a{3}", "brace inside an atom"),
    (b"GET USER a\\b*c", "backslash and star inside an atom"),
    (b"GET USER a\xc3\xa9", "8-bit bytes after the first byte of an atom"),
    (b'GET USER "\xc3\xa9"', "8-bit bytes in a quoted string"),
    (b"GET USER {2+}\r\n\xc3\xa9", "8-bit bytes in a literal"),
    (b'GET USER "a b"', "blank in a quoted string"),
    (b'GET USER "a\tb"', "HTAB in a quoted string"),
    (b'GET USER "a\\"b"', "escaped quote"),
    (b'GET USER "a\\\\b"', "escaped backslash"),
    (b'GET USER "a\\xb"', "a backslash makes any next byte itself"),
    (b'GET USER "a(b)%{"', "specials are plain inside quotes"),
    (b"GET USER x" + b"y" * 1022, "atom of 1023 bytes, the longest Cyrus prints"),
    (b"GET USER x" + b"y" * 1023, "atom of 1024 bytes"),
    (b"GET USER {1024+}\r\n" + b"x" * 1024, "literal as Cyrus prints 1024 bytes"),
    (b'GET USER "NIL"', "quoted NIL is text"),
    (b"GET USER {3+}\r\nNIL", "NIL in a literal is text"),
    (b"GET USER nil", "lower-case nil is text"),
    (b"GET USER NILS", "NILS is text"),
    (CAP + b"(SIEVE-MAILBOX)", "list"),
    (CAP + b"(SIEVE-MAILBOX REPLICATION-ARCHIVE)", "list of two"),
    (CAP + b"()", "empty list"),
    (CAP + b"( )", "empty list with a blank"),
    (CAP + b"( SIEVE-MAILBOX \t a )", "runs of blanks in a list"),
    (CAP + b"(a\x0bb\x0cc)", "VT and FF are blanks"),
    (b"APPLY CAPABILITIES(SIEVE-MAILBOX)", "no blank before a list"),
    (CAP + b'(a"b"c)', "quotes end an atom, blanks are not needed"),
    (CAP + b"(a(b)c)", "parentheses end an atom"),
    (CAP + b"({13+}\r\nSIEVE-MAILBOXa)", "no blank after a literal"),
    (CAP + b"({0+}\r\n)", "empty literal"),
    (CAP + b"({007+}\r\nSIEVE-M)", "leading zeros in a literal's size"),
    (CAP + b'("")', "empty quoted string"),
    (CAP + b"(\\Seen \\)", "flags, and a lone backslash, are atoms"),
    (CAP + b"(\x01 \x7f })", "control bytes and a closing brace are atoms"),
    (CAP + b"(%(A b))", "key-value list inside a list"),
    (CAP + b"%()", "empty key-value list where a list is wanted"),
    (CAP + b"{13+}\r\nSIEVE-MAILBOX", "scalar where a list is wanted (means an empty list)"),
    (b"GET MAILBOXES (())", "list in a list"),
    (b"GET USER ()", "list where text is wanted"),
    (b"GET USER %(A b)", "key-value list where text is wanted"),
    (b"GET USER (((((a)))))", "nesting"),
    (RES + b"default MBOXNAME (user.a user.b) GUID (" + G + b" " + Z + b"))", "RESERVE"),
    (b'APPLY RESERVE %(PARTITION"default"MBOXNAME(user.a)GUID(' + G + b"))", "no blanks at all"),
    (RES + b"default MBOXNAME () GUID ())", "empty lists"),
    (RES + b"default MBOXNAME a GUID " + G + b")", "scalars where lists are wanted"),
    (RES + b"default PARTITION second MBOXNAME () GUID ())", "a repeated key: both are kept, the first counts"),
    (RES + b"default X-UNKNOWN (a b) MBOXNAME () GUID ())", "an unknown key is kept and ignored"),
    (b"APPLY MESSAGE ()", "no file at all"),
    (b"APPLY MESSAGE (x)", "an item that is no file"),
    (b"APPLY MESSAGE (%{default " + G + b" 3}\r\nabc)", "file literal"),
    (b"APPLY MESSAGE (%{default " + G + b" 3}\nabc)", "file literal after a bare LF"),
    (b'APPLY MESSAGE (%{"default" {40+}\r\n' + G + b" 3}\r\nabc)", "quoted partition, GUID as a literal"),
    (b"APPLY MESSAGE (%{default " + G.upper() + b" 3}\r\nabc)", "upper-case GUID"),
    (b"APPLY MESSAGE (%{default " + G + b" 3}\r\nabc%{default " + G + b" 3}\r\nabc)", "two files, no blank"),
    (b"APPLY MESSAGE (%{default " + G + b" 3}\r\nabc %{default " + G + b" 3}\r\nabc)", "two files"),
    (b"APPLY MESSAGE (%{default da39a3ee5e6b4b0d3255bfef95601890afd80709 0}\r\n)", "file of no bytes"),
    (b"APPLY MESSAGE (%{default da05ce7ea1e894caa22acba4d5ca6d7b8fe6ccd1 12}\r\n) {3+}\r\n(\"%\n)",
     "file bytes that look like protocol; a line end inside"),
    (b"APPLY MESSAGE %{default " + G + b" 3}\r\nabc", "file where a list is wanted"),
    (b"APPLY FORCE %()", "empty key-value list"),
    (b'APPLY ANNOTATION %(MBOXNAME "" ENTRY /comment USERID "" VALUE {5+}\r\na\x00\r\nb)',
     "NUL and CRLF in a literal"),
    (b'APPLY ANNOTATION %(MBOXNAME "" ENTRY /comment USERID "" VALUE NIL)', "NIL value"),
]

DATA = [
    (b"* MAILBOX %(UNIQUEID 4u3mfmdnoxf9jctt3ep2wj2j MBOXNAME user.user1 SYNC_CRC 0 PARTITION NIL "
     b'ACL "user1\tlrswipkxtecdan\t" OPTIONS "" RECORD ())', "MAILBOX data; PARTITION NIL, TAB in the ACL"),
    (b"* MAILBOX %(RECORD (%(UID 1 FLAGS (\\Answered \\Seen $Label NIL) GUID " + G + b")))",
     "a bare NIL among FLAGS reads as nil here; [CS-DLIST-19] makes it the keyword"),
    (b"* MISSING (" + G + b")", "MISSING"),
    (b"* ENABLED ()", "ENABLED"),
    (b'* LSUB ("user.a b" user.c)', "LSUB"),
    (b"* MESSAGE %{default " + G + b" 3}\r\nabc", "file literal at the end of a data line"),
    (b"* MESSAGE NIL", "no file"),
    (b"* SIEVE %(USERID a FILENAME b.script CONTENT {7}\r\nkeep;\r\n)", "synchronising form {n} from a fixed server"),
    (b"* SIEVE %(USERID a FILENAME b.script CONTENT {7+}\r\nkeep;\r\n)", "{n+} from an old server"),
    (b"* ANNOTATION %(MBOXNAME user.a ENTRY /comment USERID \"\" VALUE {3}\r\na%b)", "value with a percent sign"),
    (b"* SEEN %(UNIQUEID x LASTREAD 0 LASTUID 0 LASTCHANGE -1 SEENUIDS \"\")", "negative date, empty set"),
    (b"* QUOTA %(ROOT user.a LIMIT 4294967295 STORAGE 4294967295 MODSEQ 18446744073709551615)", "largest numbers"),
]

# (line, note)
INVALID = [
    (b"GET", "no key"),
    (b"GET ", "no key after a blank"),
    (b"GET  USER user1", "two blanks after the first word"),
    (b"GET USER", "no value; Cyrus waits for the next line"),
    (b"GET USER ", "no value after a blank; Cyrus waits"),
    (b"GET USER\n", "no value, bare LF; Cyrus waits"),
    (b"GET (USER user1)", "a list where the key belongs"),
    (b"GET )", "a parenthesis where the key belongs"),
    (b"GET USER )", "a closing parenthesis where the value belongs"),
    (b"GET USER user1 ", "a blank after the value"),
    (b"GET USER user1\t", "HTAB after the value"),
    (b"GET USER a b", "two values"),
    (b'GET USER a"b', "a quote after an atom"),
    (b"GET USER a(b", "a parenthesis after an atom"),
    (b"GET USER a)", "a closing parenthesis after an atom"),
    (b'GET USER "a"b', "text after a quoted string"),
    (b"GET USER {1+}\r\nab", "text after a literal"),
    (CAP + b"(SIEVE-MAILBOX)x", "text after a list"),
    (CAP + b"(SIEVE-MAILBOX))", "one closing parenthesis too many"),
    (b"GET USER a\rb", "CR without LF"),
    (b'GET USER "a', "line end in a quoted string"),
    (b'GET USER "a\\', "line end after a backslash"),
    (b'GET USER "a\n', "bare LF in a quoted string"),
    (b'GET USER "a\x00b"', "NUL in a quoted string"),
    (b"GET USER a\x00b", "NUL in an atom"),
    (b"GET USER \x80a", "an atom that begins with an 8-bit byte; Cyrus closes"),
    (b"GET USER \xffa", "an atom that begins with 0xFF"),
    (b"GET USER %", "a percent sign alone"),
    (b"GET USER %x", "a percent sign before text"),
    (b"GET USER %%", "two percent signs"),
    (b"GET USER {}\r\na", "no size"),
    (b"GET USER {+}\r\na", "no size before the plus"),
    (b"GET USER {-1+}\r\na", "negative size"),
    (b"GET USER {a+}\r\na", "size that is no number"),
    (b"GET USER {3 +}\r\nabc", "blank in a literal's header"),
    (b"GET USER {3+ }\r\nabc", "blank after the plus"),
    (b"GET USER {3++}\r\nabc", "two plus signs"),
    (b"GET USER {3", "line end in a literal's header"),
    (b"GET USER {3+}\nabc", "bare LF after a literal's header"),
    (b"GET USER {3+}abc", "no line end after a literal's header"),
    (b"GET USER {3+}\rabc", "CR without LF after a literal's header"),
    (b"GET USER {99999999999999999999+}\r\na", "a size out of range"),
    (b"GET MAILBOXES (a b", "line end in an open list; Cyrus waits"),
    (b"GET MAILBOXES (a b\n", "the same with a bare LF"),
    (b"GET MAILBOXES (", "line end right after the parenthesis; Cyrus waits"),
    (b"GET MAILBOXES ((a) ", "line end in the outer list; Cyrus waits"),
    (b"GET MAILBOXES (a %(A b)", "the same after an inner key-value list; Cyrus waits"),
    (b"GET FETCH %(MBOXNAME", "line end after a key; Cyrus waits"),
    (b"GET FETCH %(MBOXNAME a", "line end after a pair; Cyrus waits"),
    (b"GET FETCH %(", "line end right after the opening; Cyrus waits"),
    (b"APPLY RESERVE %(A)", "a key without a value"),
    (b"APPLY RESERVE %(A b C)", "the last key without a value"),
    (b"APPLY RESERVE %((A) b)", "a list as key"),
    (b"APPLY RESERVE %(() b)", "an empty list as key"),
    (b"APPLY MESSAGE (%{default " + G + b" 3+}\r\nabc)", "a plus sign in a file header"),
    (b"APPLY MESSAGE (%{default " + G + b" 3 }\r\nabc)", "a blank before the brace"),
    (b"APPLY MESSAGE (%{default  " + G + b" 3}\r\nabc)", "two blanks in a file header"),
    (b"APPLY MESSAGE (%{ default " + G + b" 3}\r\nabc)", "a blank at the start of a file header"),
    (b"APPLY MESSAGE (%{default " + G + b"}\r\nabc)", "no size in a file header"),
    (b"APPLY MESSAGE (%{default " + G + b" }\r\nabc)", "empty size in a file header"),
    (b"APPLY MESSAGE (%{default " + G + b" 3", "line end in a file header"),
    (b"APPLY MESSAGE (%{default abcd 3}\r\nabc)", "GUID too short"),
    (b"APPLY MESSAGE (%{default " + G + b"00 3}\r\nabc)", "GUID too long"),
    (b"APPLY MESSAGE (%{default " + b"z" * 40 + b" 3}\r\nabc)", "GUID that is no hex"),
    (b"APPLY MESSAGE (%{default " + G + b" 3}abc)", "no line end after a file header"),
    (b"APPLY MESSAGE (%{default " + G + b" 99999999999999999999}\r\nabc)", "size out of range"),
    (b"APPLY MESSAGE (%{default " + G + b" 3}\r\nabcd", "file longer than said, list left open; Cyrus waits"),
]


def whole(line):
    return line if line.endswith(b"\n") else line + b"\r\n"


def observe(port, line):
    """What a live server does with a line: accept, BAD, dies (closed) or waits."""
    try:
        got, state = probe(port, line, 0.6)
    except OSError as e:
        return "error: %s" % e
    if state == "waits":
        return "waits"
    first = [l for l in got.split(b"\n") if l and not l.startswith(b"* ")]
    if not first:
        return "dies"
    return {b"OK": "accepts", b"NO": "accepts", b"BA": "BAD"}.get(first[0][:2], "?")


def main():
    live = dict(a.split("=") for a in sys.argv[1:] if "=" in a)
    valid, invalid = [], []
    for kind, cases in (("command", COMMANDS), ("data", DATA)):
        for line, note in cases:
            verb, key, v = Reader(whole(line)).line()
            valid.append(dict(id="GV-%03d" % (len(valid) + 1), kind=kind, note=note,
                              input=esc(whole(line)), verb=esc(verb), key=esc(key), value=v))
    for line, note in INVALID:
        try:
            Reader(whole(line)).line()
        except Fault as f:
            invalid.append(dict(id="GI-%03d" % (len(invalid) + 1), kind="command", note=note,
                                input=esc(whole(line)), fault=f.name, at=f.at))
        except Incomplete:
            raise SystemExit("incomplete: %r" % line)
        else:
            raise SystemExit("valid after all: %r" % line)
    if live:
        from csync import unesc
        cmds = [x for x in valid + invalid if x["kind"] == "command"]
        with concurrent.futures.ThreadPoolExecutor(6) as ex:
            for version, port in live.items():
                for x, r in zip(cmds, ex.map(lambda x: observe(int(port), unesc(x["input"])), cmds)):
                    x.setdefault("cyrus", {})[version] = r
    for name, rows in (("grammar-valid", valid), ("grammar-invalid", invalid)):
        with open(OUT / (name + ".jsonl"), "w") as f:
            for r in rows:
                f.write(json.dumps(r) + "\n")
    print(len(valid), "valid,", len(invalid), "invalid")


if __name__ == "__main__":
    main()
