#!/usr/bin/env python3
"""Prints a recorded session for reading. usage: show.py FILE [WIDTH]"""
import json
import sys

width = int(sys.argv[2]) if len(sys.argv) > 2 else 160
for text in open(sys.argv[1]):
    row = json.loads(text)
    if "session" in row:
        print(row)
        continue
    items = row.get("line", [])
    line = "".join(x if isinstance(x, str) else "<file>" for x in items)
    other = {k: v for k, v in row.items() if k in ("raw", "eof")}
    print(row["conn"], row["dir"], (line or str(other))[:width])
