#!/usr/bin/env python3
"""TLS, SCRAM, and deflate inside TLS, between mailtwin and each Cyrus, in both directions.

For each version and each way of logging in: a Cyrus sends a mailbox to mailtwin's sync_server, and mailtwin's sync_client
one to a Cyrus. A recording proxy stands between them, so that what an eavesdropper sees is checked and not believed: that
the login was the one meant, that no password, in clear or in base64, went by, and whether the bytes were deflated.
Prints a table; exit code 1 when a cell is not what the page 10-versions.md says.

Needs root, openssl(1), the roots of cyrus.py, and mailtwin's programs (MAILTWIN_BIN_DIR, default target/debug).

usage: probe_tls.py [VERSION|MODE...]    MODE: "plain in tls", scram-sha-1, scram-sha-256, external, "deflate in tls"
"""
import base64
import imaplib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from cyrus import VERSIONS, Cyrus

HERE = pathlib.Path(__file__).resolve().parent
BIN = pathlib.Path(os.environ.get("MAILTWIN_BIN_DIR", HERE.parent.parent / "target/debug"))
PASSWORD = "mellon-mellon"
# A mebibyte that deflates well, so that the count of bytes tells whether it was.
MESSAGE = b"Subject: large\r\n\r\n" + b"0123456789 the same line again and again\r\n" * 25000
MODES = ["plain in tls", "scram-sha-1", "scram-sha-256", "external", "deflate in tls"]


class Proxy:
    """Passes connections on to a port, and keeps what was said."""

    def __init__(self, port):
        self.target, self.sent, self.received = port, b"", b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            for source, sink, name in ((client, server, "sent"), (server, client, "received")):
                threading.Thread(target=self.pump, args=(source, sink, name), daemon=True).start()

    def pump(self, source, sink, name):
        try:
            while data := source.recv(65536):
                setattr(self, name, getattr(self, name) + data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listener.close()


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def certificates(folder):
    """An authority, a server's certificate for 127.0.0.1, and one of the user repl."""
    f = lambda name: str(folder / name)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Probe CA", "-days", "3",
            "-keyout", f("ca.key"), "-out", f("ca.pem"))
    for name, cn, extra in (("server", "127.0.0.1", "subjectAltName=IP:127.0.0.1"),
                            ("client", "repl", "extendedKeyUsage=clientAuth")):
        (folder / "ext").write_text(extra + "\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=" + cn,
                "-keyout", f(name + ".key"), "-out", f(name + ".csr"))
        openssl("x509", "-req", "-in", f(name + ".csr"), "-CA", f("ca.pem"), "-CAkey", f("ca.key"),
                "-CAcreateserial", "-days", "3", "-extfile", f("ext"), "-out", f(name + ".pem"))


def set_lines(path, lines):
    """Sets options of an imapd.conf, in place of those there."""
    keys = [key for key, _ in lines]
    kept = [l for l in path.read_text().splitlines() if l.split(":")[0] not in keys]
    path.write_text("\n".join(kept + ["%s: %s" % pair for pair in lines]) + "\n")


def options(mode, side, certs):
    """Options of a server, or of a client, for a mode; `certs` is where it finds the files."""
    tls = mode in ("plain in tls", "external", "deflate in tls")
    mech = {"scram-sha-1": "SCRAM-SHA-1", "scram-sha-256": "SCRAM-SHA-256", "external": "EXTERNAL"}.get(mode, "PLAIN")
    if side == "server":
        lines = [("sasl_mech_list", mech), ("allowplaintext", "no")]
        if tls:
            lines += [("tls_server_cert", "%s/server.pem" % certs), ("tls_server_key", "%s/server.key" % certs),
                      ("allowstarttls", "yes")]
        if mode == "external":
            lines += [("tls_client_ca_file", "%s/ca.pem" % certs), ("tls_client_certs", "require")]
        return lines
    lines = [("tls_server_ca_file", "%s/ca.pem" % certs), ("force_sasl_client_mech", mech),
             ("sync_password", PASSWORD)]
    if mode == "external":
        lines += [("tls_client_cert", "%s/client.pem" % certs), ("tls_client_key", "%s/client.key" % certs)]
    return lines


class Twin:
    """A store of ours."""

    def __init__(self, folder, lines):
        self.conf = folder / "imapd.conf"
        self.conf.write_text("configdirectory: %s\npartition-default: %s/spool\nadmins: repl\nservername: twin\n"
                             "failedloginpause: 0\nsync_authname: repl\n" % (folder, folder))
        set_lines(self.conf, lines)
        self.run("mailtwin", "passwd", "repl", input=PASSWORD.encode() + b"\n")
        self.process = None

    def run(self, program, *args, **kw):
        return subprocess.run([BIN / program, "-C", self.conf, *args], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=120, **kw)

    def serve(self):
        self.process = subprocess.Popen([BIN / "sync_server", "-C", self.conf, "--listen", "127.0.0.1:0"],
                                        stdout=subprocess.PIPE, stderr=open(str(self.conf) + ".log", "wb"))
        line = self.process.stdout.readline().decode()
        return int(line.split(" (store")[0].rsplit(":", 1)[1])

    def messages(self):
        listed = self.run("mailtwin", "list", "alice", "--json")
        # Without alice there is nothing to list, and the program says so.
        return sum(mailbox["exists"] for mailbox in json.loads(listed.stdout)) if listed.returncode == 0 else 0

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)


def prepare(cyrus, lines, certs):
    """Makes a Cyrus with these options and starts it."""
    cyrus.stop()
    cyrus.make()
    inner = cyrus.dir / "certs"
    shutil.copytree(certs, inner)
    for path in [inner, *inner.iterdir()]:
        os.chown(path, cyrus.uid, cyrus.gid)
    for realm in ("master.example", "replica.example", "twin"):
        cyrus.run("/usr/sbin/saslpasswd2", "-p", "-c", "-f", str(cyrus.inner / "sasldb2"), "-u", realm, "repl",
                  input=PASSWORD.encode())
    set_lines(cyrus.dir / "imapd.conf", lines)
    cyrus.start(fresh=False)


def on_replica(cyrus):
    """Messages of alice's INBOX, asked over the Unix socket, where nobody logs in."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20)
        s.connect(str(cyrus.dir / "conf/socket/csync"))
        f = s.makefile("rwb")
        while not f.readline().startswith(b"* OK"):
            pass
        f.write(b"GET MAILBOXES (user.alice)\r\n")
        f.flush()
        answer = b""
        while not (line := f.readline()).startswith((b"OK", b"NO", b"BAD")) and line:
            answer += line
    return int(answer.split(b"LAST_UID ")[1].split()[0]) if b"LAST_UID " in answer else 0


def fill(cyrus):
    """Alice and her message, by IMAP."""
    admin = imaplib.IMAP4("127.0.0.1", cyrus.imap)
    admin.login("cyrus", "test")
    admin.create("user.alice")
    admin.logout()
    alice = imaplib.IMAP4("127.0.0.1", cyrus.imap)
    alice.login("alice", "test")
    alice.append("INBOX", None, None, MESSAGE)
    alice.logout()


def judge(mode, proxy, arrived, said):
    """What the table says of a run."""
    seen = proxy.sent + proxy.received
    forms = [PASSWORD.encode()]
    for lead in range(3):
        coded = base64.b64encode(b"\0" * lead + PASSWORD.encode())
        forms.append(coded[-(-lead * 8 // 6):(lead + len(PASSWORD)) * 8 // 6])
    if any(form in seen for form in forms):
        return "PASSWORD SEEN"
    if mode.startswith("scram"):
        if b"AUTHENTICATE " + mode.upper().encode() not in proxy.sent:
            return "not offered" if b"* SASL" not in proxy.received else "other login"
    elif b"STARTTLS\r\n" not in proxy.sent:
        return "no STARTTLS"
    elif b"AUTHENTICATE" in proxy.sent:
        return "LOGIN IN CLEAR"
    if arrived != 1:
        return "failed: " + " ".join(said.split())[:160]
    small = len(proxy.sent) + len(proxy.received) < len(MESSAGE) // 4
    if small != (mode == "deflate in tls"):
        return "ok, deflated" if small else "ok, NOT deflated"
    return "ok"


def stock(master, port):
    """The stock client; one that finds no way to log in tries for ever."""
    try:
        run = master.run("/usr/lib/cyrus/bin/sync_client", "-C", str(master.inner / "imapd.conf"), "-S",
                         "127.0.0.1:%d" % port, "-o", "-v", "-u", "alice", timeout=40)
        return run.returncode, run.stdout.decode("latin1")
    except subprocess.TimeoutExpired as error:
        return 124, "went on for ever: " + (error.stdout or b"").decode("latin1")


def to_ours(version, mode, certs, place):
    """A Cyrus sends to our server."""
    master = Cyrus(version, "master")
    inner = master.inner / "certs"
    twin = Twin(place, options(mode, "server", certs) + [("tls_required", "no" if mode.startswith("scram") else "yes"),
                ("mailtwin_compress", "yes" if mode == "deflate in tls" else "no")])
    try:
        prepare(master, options(mode, "client", inner) + [("sync_compress", "yes" if mode == "deflate in tls" else "no")],
                certs)
        fill(master)
        proxy = Proxy(twin.serve())
        code, said = stock(master, proxy.port)
        verdict = judge(mode, proxy, twin.messages(), "exit %d %s" % (code, said))
        proxy.close()
        return verdict
    finally:
        master.stop()
        twin.stop()


def to_cyrus(version, mode, certs, place):
    """Our client sends to a Cyrus."""
    replica = Cyrus(version, "replica")
    tls = "off" if mode.startswith("scram") else "required"
    twin = Twin(place, options(mode, "client", certs) + [("mailtwin_tls", tls), ("sync_compress",
                "required" if mode == "deflate in tls" else "no")])
    (place / "m.eml").write_bytes(MESSAGE)
    twin.run("mailtwin", "import", "alice", "INBOX", "eml", str(place / "m.eml"))
    try:
        prepare(replica, options(mode, "server", replica.inner / "certs"), certs)
        proxy = Proxy(replica.csync)
        run = twin.run("sync_client", "-S", "127.0.0.1:%d" % proxy.port, "-u", "alice")
        verdict = judge(mode, proxy, on_replica(replica), "exit %d %s" % (run.returncode, run.stdout.decode()))
        proxy.close()
        return verdict
    finally:
        replica.stop()


def expected(version, mode):
    """What 10-versions.md says, [CS-VER-43] to [CS-VER-45]. Debian's package for 3.2 comes without SCRAM."""
    return None if version == "3.2" and mode.startswith("scram") else "ok"


def main():
    versions = [word for word in sys.argv[1:] if word in VERSIONS] or list(VERSIONS)
    modes = [word for word in sys.argv[1:] if word in MODES] or MODES
    wrong = 0
    print("%-16s %-8s %-34s %s" % ("", "Cyrus", "Cyrus -> mailtwin", "mailtwin -> Cyrus"), flush=True)
    for mode in modes:
        for version in versions:
            cells = []
            for run in (to_ours, to_cyrus):
                with tempfile.TemporaryDirectory(prefix="mailtwin-probe-tls-") as folder:
                    place = pathlib.Path(folder)
                    place.chmod(0o755)
                    certs = place / "certs"
                    certs.mkdir()
                    certificates(certs)
                    cells.append(run(version, mode, certs, place))
            wanted = expected(version, mode)
            wrong += sum(wanted is not None and cell != wanted for cell in cells)
            print("%-16s %-8s %-34s %s" % (mode, version, *cells), flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
