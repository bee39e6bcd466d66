//! What manual pages have beside the arguments: files, signals, exit status, examples, and where to read on.

/// What a page says beside its program's own help.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Program, or program and command with a hyphen between: the page's name.
    pub name: &'static str,
    /// How it is called, one form a line, where that says more than all options in a row.
    pub synopsis: &'static str,
    /// Exit codes with what they mean. Empty where the program's help lists them.
    pub exit: &'static [(u8, &'static str)],
    /// Signals that mean something.
    pub signals: &'static [(&'static str, &'static str)],
    /// Environment variables that are read.
    pub environment: &'static [(&'static str, &'static str)],
    /// Files that are read or written.
    pub files: &'static [(&'static str, &'static str)],
    /// What for, and the lines to type.
    pub examples: &'static [(&'static str, &'static str)],
    /// Other pages, with their sections.
    pub see_also: &'static [&'static str],
}

/// When the pages last changed in what they say.
pub const DATE: &str = "2026-11-23";

/// The page of a program or command.
pub fn of(name: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.name == name)
}

const CONF: (&str, &str) = (
    "/etc/imapd.conf",
    "The configuration, in Cyrus's syntax, unless -C names another one. The Debian package comes with /etc/mailtwin/mailtwin.conf.",
);
const STORE: (&str, &str) = (
    "CONFIGDIRECTORY/mailtwin/",
    "The store, unless mailtwin_store names another folder: one SQLite file a user below users/, and shared.db.",
);
const LOG: (&str, &str) = (
    "CONFIGDIRECTORY/sync/log, CONFIGDIRECTORY/sync/CHANNEL/log",
    "What is to be replicated: the log of the default channel, and of the others. The format and the locks are Cyrus's.",
);
const STATUS: (&str, &str) = (
    "CONFIGDIRECTORY/sync/[CHANNEL/]mailtwin-status.json",
    "How the channel's daemon is, for mailtwin status.",
);
const MANAGER: (&str, &str) = (
    "NOTIFY_SOCKET, WATCHDOG_USEC",
    "Set by systemd: it is told of readiness, of the end, and as often as its watchdog wants it that all is well.",
);

const DONE: (u8, &str) = (0, "Done.");
const USAGE: (u8, &str) = (2, "Wrong command line.");
const NO_INPUT: (u8, &str) = (66, "No such store, user, mailbox, message or file.");
const IO: (u8, &str) = (74, "The store or a file failed.");
const LOCKED: (u8, &str) = (75, "In use by another program; try again.");
const CONFIG: (u8, &str) = (78, "The configuration cannot be used.");
const OF_CHANGES: &[(u8, &str)] = &[DONE, USAGE, NO_INPUT, IO, LOCKED, CONFIG];
const OF_LOOKS: &[(u8, &str)] = &[DONE, USAGE, NO_INPUT, IO, CONFIG];

const NOTHING: Page = Page {
    name: "",
    synopsis: "",
    exit: OF_CHANGES,
    signals: &[],
    environment: &[],
    files: &[CONF, STORE],
    examples: &[],
    see_also: &["mailtwin(8)"],
};

/// Pages of commands that change the store and log what they changed.
const CHANGE: Page = Page {
    files: &[CONF, STORE, LOG],
    see_also: &["mailtwin(8)", "sync_client(8)"],
    ..NOTHING
};

/// All pages.
pub const PAGES: &[Page] = &[
    Page {
        name: "sync_client",
        synopsis: "\
sync_client -u|-s|-m [OPTIONS] NAME...
sync_client -A [OPTIONS] [PREFIX]
sync_client -r|-R [-1] [-n CHANNEL] [OPTIONS]",
        exit: &[],
        signals: &[
            (
                "SIGTERM, SIGINT",
                "End in order: what is under way is finished or stays in the log. A second one ends at once. With -r and -R SIGQUIT \
                 does the same.",
            ),
            (
                "SIGHUP",
                "With -r and -R: the configuration is read again, connections are made anew, what is in quarantine is tried once more.",
            ),
        ],
        environment: &[
            (
                "CYRUS_ISDAEMON",
                "Set by Cyrus's master for DAEMON entries: -r stays in the foreground.",
            ),
            MANAGER,
        ],
        files: &[
            CONF,
            STORE,
            LOG,
            (
                "CONFIGDIRECTORY/sync/[CHANNEL/]log-run",
                "What was read and is not done yet. It is replayed at the next start, whatever ended the program.",
            ),
            (
                "CONFIGDIRECTORY/sync/[CHANNEL/]sync_client.pid",
                "The process of -r, unless --pidfile names another file.",
            ),
            STATUS,
            (
                "CONFIGDIRECTORY/sync/[CHANNEL/]skipuser-USER",
                "While it is there the user is left out, and what is logged for the user waits.",
            ),
        ],
        examples: &[
            (
                "All users and all shared mailboxes, once. Run again, it sends what has changed since:",
                "sync_client -C /etc/mailtwin/mailtwin.conf -S replica.example.org -A",
            ),
            (
                "What a run would do to either side:",
                "sync_client -S replica.example.org --dry-run -u jane omar",
            ),
            (
                "The channel offsite, as it changes, with eight connections, in the foreground:",
                "sync_client -R -n offsite -j 8",
            ),
            (
                "What the log says now, and then end:",
                "sync_client -R -1 -n offsite",
            ),
            (
                "In cyrus.conf, below DAEMON, in place of Cyrus's own:",
                "offsite cmd=\"/usr/lib/mailtwin/bin/sync_client -r -n offsite\"",
            ),
        ],
        see_also: &[
            "sync_server(8)",
            "cyr_synclog(8)",
            "mailtwin(8)",
            "systemd.service(5)",
        ],
    },
    Page {
        name: "sync_server",
        synopsis: "",
        exit: &[],
        signals: &[],
        environment: &[
            MANAGER,
            (
                "LISTEN_FDS, LISTEN_PID",
                "Set by systemd: sockets that are open already are served in place of mailtwin_listen.",
            ),
            (
                "CYRUS_SERVICE, CYRUS_ID",
                "Set by Cyrus's master: its socket is served, and it is told of each connection.",
            ),
        ],
        files: &[CONF, STORE, LOG],
        examples: &[
            (
                "A replica for the Cyrus or mailtwin that logs in as repl. The configuration:",
                "configdirectory: /var/lib/mailtwin\nadmins: repl\nmailtwin_listen: 192.0.2.10:2005",
            ),
            (
                "Its password, and the server:",
                "mailtwin -C /etc/mailtwin/mailtwin.conf passwd repl\nsync_server -C /etc/mailtwin/mailtwin.conf",
            ),
            (
                "In cyrus.conf, below SERVICES, in place of Cyrus's own:",
                "syncserver cmd=\"/usr/lib/mailtwin/bin/sync_server\" listen=\"csync\"",
            ),
        ],
        see_also: &[
            "sync_client(8)",
            "mailtwin(8)",
            "mailtwin-passwd(8)",
            "systemd.socket(5)",
        ],
    },
    Page {
        name: "cyr_synclog",
        synopsis: "",
        exit: &[],
        signals: &[],
        environment: &[],
        files: &[CONF, LOG],
        examples: &[
            (
                "All of jane is to be replicated again, on every channel:",
                "cyr_synclog -u jane",
            ),
            ("One mailbox:", "cyr_synclog -m user.jane.Sent"),
            (
                "A whole line, as it stands in logs:",
                "cyr_synclog 'SUB jane user.jane.Sent'",
            ),
        ],
        see_also: &["sync_client(8)", "mailtwin-status(8)"],
    },
    Page {
        name: "mailtwin",
        exit: &[
            DONE,
            (
                1,
                "verify found damage, compared sides differ, or a channel is not fine.",
            ),
            USAGE,
            (65, "Mail that cannot be read."),
            NO_INPUT,
            (73, "The target of an export exists."),
            IO,
            (75, "In use by another program, or no connection; try again."),
            (77, "The login was refused."),
            CONFIG,
        ],
        files: &[CONF, STORE, LOG, STATUS],
        examples: &[
            ("See replication at work, on sample mail:", "mailtwin demo"),
            (
                "Whether a configuration can work, and how replication stands:",
                "mailtwin -C /etc/mailtwin/mailtwin.conf check\nmailtwin -C /etc/mailtwin/mailtwin.conf status",
            ),
            (
                "Proof that a user is the same here and on a replica:",
                "mailtwin -C /etc/mailtwin/mailtwin.conf compare replica.example.org jane",
            ),
        ],
        see_also: &["sync_server(8)", "sync_client(8)", "cyr_synclog(8)"],
        ..NOTHING
    },
    Page {
        name: "mailtwin-demo",
        exit: &[DONE, (1, "The two stores are not equal."), USAGE, IO],
        files: &[(
            "/tmp",
            "Where the sample stores are made, unless --dir or TMPDIR says otherwise.",
        )],
        examples: &[(
            "With the stores kept, to look further:",
            "mailtwin demo --dir /tmp/twins",
        )],
        ..NOTHING
    },
    Page {
        name: "mailtwin-passwd",
        files: &[
            CONF,
            (
                "CONFIGDIRECTORY/mailtwin/shared.db",
                "SCRAM verifiers; passwords themselves are nowhere.",
            ),
        ],
        examples: &[
            ("Asked for at the terminal:", "mailtwin passwd repl"),
            (
                "From a file whose first line it is:",
                "mailtwin passwd repl < /etc/mailtwin/password",
            ),
        ],
        see_also: &["mailtwin(8)", "sync_server(8)"],
        ..NOTHING
    },
    Page {
        name: "mailtwin-list",
        exit: OF_LOOKS,
        examples: &[(
            "All users, then jane's mailboxes:",
            "mailtwin list\nmailtwin list jane",
        )],
        ..NOTHING
    },
    Page {
        name: "mailtwin-cat",
        exit: OF_LOOKS,
        examples: &[(
            "The message with UID 17:",
            "mailtwin cat jane/INBOX 17 > message.eml",
        )],
        ..NOTHING
    },
    Page {
        name: "mailtwin-import",
        exit: &[
            DONE,
            USAGE,
            (65, "Mail that cannot be read."),
            NO_INPUT,
            IO,
            LOCKED,
            CONFIG,
        ],
        examples: &[(
            "A Maildir with all its folders, and one file of many messages:",
            "mailtwin import jane INBOX maildir /home/jane/Maildir\nmailtwin import jane Archive/2019 mbox 2019.mbox",
        )],
        see_also: &["mailtwin-export(8)", "mailtwin-append(8)"],
        ..CHANGE
    },
    Page {
        name: "mailtwin-export",
        exit: &[
            DONE,
            USAGE,
            NO_INPUT,
            (73, "The folder exists and is not empty."),
            IO,
            CONFIG,
        ],
        examples: &[(
            "To a new folder:",
            "mailtwin export jane /var/lib/mailtwin/jane-maildir",
        )],
        see_also: &["mailtwin-import(8)"],
        ..NOTHING
    },
    Page {
        name: "mailtwin-status",
        exit: &[
            DONE,
            (
                1,
                "A channel is behind, stopped or not connected, or holds changes in quarantine; options set the thresholds.",
            ),
            USAGE,
            IO,
            CONFIG,
        ],
        files: &[CONF, LOG, STATUS],
        examples: &[
            (
                "For a monitoring system:",
                "mailtwin status --lag-max 15m --waiting-max 10000",
            ),
            ("Again and again, until interrupted:", "mailtwin status --watch 5"),
            (
                "The status page and metrics of all channels:",
                "mailtwin status --listen 127.0.0.1:9205",
            ),
        ],
        see_also: &["mailtwin-quarantine(8)", "sync_client(8)"],
        ..NOTHING
    },
    Page {
        name: "mailtwin-quarantine",
        files: &[
            CONF,
            (
                "CONFIGDIRECTORY/sync/[CHANNEL/]mailtwin-quarantine",
                "Changes that failed again and again, with the reason.",
            ),
        ],
        examples: &[
            ("What is in it, and why:", "mailtwin quarantine list"),
            (
                "Once the reason is removed:",
                "mailtwin quarantine retry --channel offsite 'MAILBOX user.jane'",
            ),
        ],
        see_also: &["mailtwin-status(8)", "sync_client(8)"],
        ..NOTHING
    },
    Page {
        name: "mailtwin-check",
        exit: &[
            (0, "The configuration can work; there may be warnings."),
            USAGE,
            (78, "It cannot."),
        ],
        examples: &[
            (
                "All of it, the replicas too:",
                "mailtwin -C /etc/mailtwin/mailtwin.conf check",
            ),
            ("This machine only:", "mailtwin check --offline"),
        ],
        see_also: &["sync_client(8)", "sync_server(8)"],
        ..NOTHING
    },
    Page {
        name: "mailtwin-append",
        exit: &[
            DONE,
            USAGE,
            (65, "Mail that cannot be read."),
            NO_INPUT,
            IO,
            LOCKED,
            CONFIG,
        ],
        examples: &[(
            "A message that has been read already:",
            "mailtwin append --flag '\\Seen' jane/INBOX message.eml",
        )],
        ..CHANGE
    },
    Page {
        name: "mailtwin-flag",
        examples: &[(
            "Set one and remove another:",
            "mailtwin flag jane/INBOX 1:5,9 '+\\Flagged' '-\\Seen'",
        )],
        ..CHANGE
    },
    Page {
        name: "mailtwin-expunge",
        examples: &[(
            "By number, and by flag:",
            "mailtwin expunge jane/INBOX 17\nmailtwin expunge jane/INBOX --deleted",
        )],
        ..CHANGE
    },
    Page {
        name: "mailtwin-create",
        examples: &[(
            "A user with two more mailboxes:",
            "mailtwin create user/jane jane/Sent jane/Drafts",
        )],
        ..CHANGE
    },
    Page {
        name: "mailtwin-rename",
        examples: &[("With all below it:", "mailtwin rename jane/Old jane/Archive")],
        ..CHANGE
    },
    Page {
        name: "mailtwin-delete",
        examples: &[
            (
                "Until expire runs it can be had back:",
                "mailtwin delete jane/Drafts",
            ),
            (
                "A user with everything, at once:",
                "mailtwin delete --user jane --now",
            ),
        ],
        see_also: &["mailtwin-expire(8)", "mailtwin(8)"],
        ..CHANGE
    },
    Page {
        name: "mailtwin-subscribe",
        examples: &[("To a mailbox of her own:", "mailtwin subscribe jane Sent")],
        see_also: &["mailtwin-unsubscribe(8)", "mailtwin(8)"],
        ..CHANGE
    },
    Page {
        name: "mailtwin-unsubscribe",
        examples: &[("From a mailbox of her own:", "mailtwin unsubscribe jane Sent")],
        see_also: &["mailtwin-subscribe(8)", "mailtwin(8)"],
        ..CHANGE
    },
    Page {
        name: "mailtwin-annotate",
        examples: &[(
            "All, one, and a new value:",
            "mailtwin annotate jane/INBOX\nmailtwin annotate jane/INBOX /comment\nmailtwin annotate jane/INBOX /comment 'for the archive'",
        )],
        ..CHANGE
    },
    Page {
        name: "mailtwin-sieve",
        exit: &[DONE, USAGE, NO_INPUT, IO, LOCKED, CONFIG],
        examples: &[(
            "A new script, active at once:",
            "mailtwin sieve put jane vacation vacation.sieve --activate",
        )],
        ..CHANGE
    },
    Page {
        name: "mailtwin-quota",
        examples: &[(
            "One gibibyte of mail:",
            "mailtwin quota user/jane --storage 1048576",
        )],
        ..CHANGE
    },
    Page {
        name: "mailtwin-expire",
        examples: &[(
            "What would go, then do it:",
            "mailtwin expire --days 60 --dry-run\nmailtwin expire --days 60",
        )],
        see_also: &["mailtwin-delete(8)", "mailtwin-expunge(8)"],
        ..CHANGE
    },
    Page {
        name: "mailtwin-compare",
        exit: &[
            (0, "Equal, record by record."),
            (1, "Something differs."),
            USAGE,
            (66, "A user is on neither side, or could not be compared."),
            IO,
            (75, "No connection to the replica; try again."),
            (77, "The login was refused."),
            CONFIG,
        ],
        examples: &[(
            "With a host, and with a channel's replica:",
            "mailtwin compare replica.example.org jane omar\nmailtwin compare --channel offsite jane",
        )],
        see_also: &["mailtwin-verify(8)", "sync_client(8)"],
        ..NOTHING
    },
    Page {
        name: "mailtwin-verify",
        exit: &[
            (0, "All is sound."),
            (1, "Damage was found; mailboxes and UIDs are named."),
            USAGE,
            NO_INPUT,
            IO,
            CONFIG,
        ],
        examples: &[(
            "Everything, and jane alone:",
            "mailtwin verify\nmailtwin verify jane",
        )],
        see_also: &["mailtwin-compare(8)"],
        ..NOTHING
    },
];
