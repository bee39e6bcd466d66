about: cyrus-imapd 3.12.4, Debian 14
extends: cyrus
banner: Cyrus sync server 3.12

scenario: dlist/list-where-text-is-asked-for@8
does: NO IMAP_MAILBOX_NONEXISTENT *
reason: nothing is looked for under no name
rules: [CS-EXC-3]
evidence: spec/observed.jsonl bad-arguments
