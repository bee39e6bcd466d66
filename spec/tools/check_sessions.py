#!/usr/bin/env python3
"""Reads every recorded session with csync.Reader: each GET, APPLY and data line must be a dlist,
each file must hash to its GUID, each deflate stream must inflate to such lines.

usage: check_sessions.py [FILE...]
"""
import base64
import hashlib
import json
import pathlib
import sys
import zlib

from csync import Reader, unesc
from record import Lines

HERE = pathlib.Path(__file__).resolve().parent.parent / "sessions"


def whole(items):
    return b"".join(unesc(x) if isinstance(x, str) else base64.b64decode(x["file"]) for x in items)


def files(v):
    if "file" in v:
        yield v["file"]
    for x in v.get("list", []) + [p[1] for p in v.get("kv", [])]:
        yield from files(x)


def check(line, counts):
    word = line.split(b" ", 1)[0].strip().upper()
    if word in (b"GET", b"APPLY", b"RESTORE") or (
            word == b"*" and b" %(" in line[:40] or line.startswith((b"* MISSING", b"* LSUB", b"* ENABLED", b"* MESSAGE"))):
        _, _, v = Reader(line).line()
        for f in files(v):
            assert hashlib.sha1(base64.b64decode(f["data"])).hexdigest() == f["guid"], f["guid"]
            counts["files"] += 1
        counts["dlists"] += 1
    else:
        counts["other lines"] += 1


def main():
    counts = {"sessions": 0, "dlists": 0, "other lines": 0, "files": 0, "inflated lines": 0}
    for path in [pathlib.Path(a) for a in sys.argv[1:]] or sorted(HERE.glob("*/*.jsonl")):
        counts["sessions"] += 1
        inflate = {}
        for text in open(path):
            row = json.loads(text)
            if "line" in row:
                check(whole(row["line"]), counts)
            elif "raw" in row:
                z, lines = inflate.setdefault((row["conn"], row["dir"]), (zlib.decompressobj(-15), Lines()))
                for items in lines.feed(z.decompress(base64.b64decode(row["raw"]))):
                    check(whole(items), counts)
                    counts["inflated lines"] += 1
    print(counts)


if __name__ == "__main__":
    main()
