about: cyrus-imapd 3.12.4, Debian 14
extends: cyrus
banner: Cyrus sync server 3.12

scenario: dlist/list-where-text-is-asked-for@8
does: NO IMAP_MAILBOX_NONEXISTENT *
reason: nothing is looked for under no name
rules: [CS-EXC-3]
evidence: spec/observed.jsonl bad-arguments

scenario: rename/inbox-to-another-partition
does: NO Unknown error
reason: no INBOX moves
rules: [CS-APPLY-17] [CS-APPLY-18]
evidence: seen 3.12: APPLY RENAME %(OLDMBOXNAME user.u NEWMBOXNAME user.u PARTITION second) -> NO Unknown error

scenario: restore/raises-highestmodseq
does: * MAILBOX %(HIGHESTMODSEQ 5 ...)
reason: the mailbox's stays while its record's grows
rules: [CS-RESTORE-2] [CS-VER-31]
evidence: seen 3.12: GET FULLMAILBOX user.u.a -> * MAILBOX %(... LAST_UID 2 HIGHESTMODSEQ 5 ...), which was 5 before RESTORE

conforms: userflags/added userflags/in-the-order-they-came userflags/stay-behind-the-record

conforms: tls/handshake-that-is-none
