#!/usr/bin/env python3
"""Starts and stops a throw-away Cyrus server of a given version, for probes and recordings.

Roots: version 3.6 is the host's own installation (Debian 12); 3.2, 3.10 and 3.12 live in
chroots below $MAILTWIN_ROOTS (default /var/tmp/mailtwin-roots), made by debootstrap as
described in spec/sessions/README.md. Needs root.

usage: cyrus.py start VERSION ROLE [LINE...]    ROLE: master or replica; prints the ports;
                                               LINEs are added to imapd.conf
       cyrus.py stop VERSION ROLE
"""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

ROOTS = pathlib.Path(os.environ.get("MAILTWIN_ROOTS", "/var/tmp/mailtwin-roots"))
BASE = int(os.environ.get("MAILTWIN_SPEC_PORT", "21000"))
VERSIONS = {"3.2": 0, "3.6": 1, "3.10": 2, "3.12": 3}
ROLES = {"master": 0, "replica": 1}
USERS = {"cyrus": "test", "repl": "test", "alice": "test", "bob": "test"}

CONF = """configdirectory: {d}/conf
defaultpartition: default
partition-default: {d}/part
partition-second: {d}/part2
sievedir: {d}/sieve
servername: {role}.example
admins: cyrus repl
allowplaintext: yes
sasl_mech_list: PLAIN
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {d}/sasldb2
annotation_allow_undefined: 1
failedloginpause: 0
delete_mode: delayed
expunge_mode: delayed
altnamespace: no
unixhierarchysep: no
sync_log: no
sync_try_imap: no
sync_authname: repl
sync_realm: {realm}
sync_password: test
duplicatesuppression: no
reject8bit: no
munge8bit: no
{extra}
"""

CYRUS_CONF = """START {{
  recover cmd="ctl_cyrusdb -C {d}/imapd.conf -r"
}}
SERVICES {{
  imap cmd="imapd -C {d}/imapd.conf" listen="127.0.0.1:{imap}" prefork=0
  syncserver cmd="sync_server -C {d}/imapd.conf" listen="127.0.0.1:{csync}" prefork=0
  syncunix cmd="sync_server -C {d}/imapd.conf" listen="{d}/conf/socket/csync" prefork=0
}}
EVENTS {{
}}
"""


class Cyrus:
    """A server of `version` in `role`; directories and ports follow from both."""

    def __init__(self, version, role, extra=""):
        self.version, self.role, self.extra = version, role, extra
        self.root = pathlib.Path("/") if version == "3.6" else ROOTS / version
        self.inner = pathlib.Path("/var/tmp/mailtwin-spec") / version / role
        self.dir = self.root / self.inner.relative_to("/")
        n = BASE + VERSIONS[version] * 20 + ROLES[role] * 5
        self.imap, self.csync = n, n + 1
        for line in (self.root / "etc/passwd").read_text().splitlines():
            f = line.split(":")
            if f[0] == "cyrus":
                self.uid, self.gid = int(f[2]), int(f[3])

    def drop(self):
        if str(self.root) != "/":
            os.chroot(self.root)
        os.chdir("/")
        os.setgroups([])
        os.setgid(self.gid)
        os.setuid(self.uid)

    def run(self, *args, **kw):
        """Run a program as user cyrus inside the root."""
        kw.setdefault("stdout", subprocess.PIPE)
        kw.setdefault("stderr", subprocess.STDOUT)
        env = {"PATH": "/usr/lib/cyrus/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
        return subprocess.run(args, preexec_fn=self.drop, env=env, **kw)

    def sync_client(self, port, *args):
        """The stock client against 127.0.0.1:port; -> (exit code, output)"""
        r = self.run("/usr/lib/cyrus/bin/sync_client", "-C", str(self.inner / "imapd.conf"),
                     "-S", "127.0.0.1:%d" % port, *args)
        return r.returncode, r.stdout.decode("latin1")

    def make(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        for sub in ("part", "part2", "sieve", *("conf/" + s for s in (
                "db", "proc", "log", "socket", "msg", "sync", "quota", "user", "lock",
                "ptclient"))):
            (self.dir / sub).mkdir(parents=True)
        f = dict(d=self.inner, role=self.role, realm=self.role + ".example", extra=self.extra,
                 imap=self.imap, csync=self.csync)
        (self.dir / "imapd.conf").write_text(CONF.format(**f))
        (self.dir / "cyrus.conf").write_text(CYRUS_CONF.format(**f))
        for p in [self.dir, *self.dir.rglob("*")]:
            os.chown(p, self.uid, self.gid)
        # both realms: sync_client asks with the realm of its own configuration
        for user, pw in USERS.items():
            for realm in ("master.example", "replica.example"):
                r = self.run("/usr/sbin/saslpasswd2", "-p", "-c", "-f",
                             str(self.inner / "sasldb2"), "-u", realm, user,
                             input=pw.encode())
                assert r.returncode == 0, r.stdout

    def start(self, fresh=True):
        if fresh:
            self.make()
        log = open(self.dir / "master.log", "ab")
        env = {"PATH": "/usr/lib/cyrus/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
        p = subprocess.Popen(
            ["/usr/sbin/cyrmaster", "-C", str(self.inner / "imapd.conf"), "-M",
             str(self.inner / "cyrus.conf"), "-p", str(self.inner / "pid"), "-D"],
            preexec_fn=self.drop, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True)
        (self.dir / "spec.pid").write_text(str(p.pid))
        for _ in range(100):
            try:
                for port in (self.imap, self.csync):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                return self
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("Cyrus %s does not come up: see %s" % (self.version, log.name))

    def reconfigure(self, old, new):
        """Change a line of imapd.conf and restart."""
        self.stop()
        conf = self.dir / "imapd.conf"
        conf.write_text(conf.read_text().replace(old, new))
        return self.start(fresh=False)

    def stop(self):
        """End the server this object or an earlier run started, and wait for it."""
        f = self.dir / "spec.pid"
        if not f.exists():
            return
        pid = int(f.read_text())
        f.unlink()
        try:
            os.kill(pid, signal.SIGTERM)
            for n in range(60):
                try:
                    os.waitpid(pid, os.WNOHANG)     # when it is our child
                except ChildProcessError:
                    pass
                os.kill(pid, 0)
                time.sleep(0.1)
                if n == 40:     # it leads a process group of its own
                    os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        # its children keep the listening sockets until their last connection ends
        for port in (self.imap, self.csync):
            for _ in range(50):
                with socket.socket() as s:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    try:
                        s.bind(("127.0.0.1", port))
                        break
                    except OSError:
                        time.sleep(0.1)


def main():
    verb, version, role = sys.argv[1:4]
    c = Cyrus(version, role, "\n".join(sys.argv[4:]))
    if verb == "start":
        c.stop()
        c.start()
        print("imap 127.0.0.1:%d csync 127.0.0.1:%d user repl password test" % (c.imap, c.csync))
    else:
        c.stop()


if __name__ == "__main__":
    main()
