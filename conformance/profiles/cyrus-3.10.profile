about: cyrus-imapd 3.10.2, Debian 13
extends: cyrus
banner: Cyrus sync server 3.10

scenario: mailbox/missing-parents-are-not-made
does: * MAILBOX %(MBOXNAME <box:a> ...)
reason: the parents are made as real mailboxes
rules: [CS-MBOX-37] [CS-VER-11]
evidence: spec/observed.jsonl mbox-missing-parents

scenario: annotation/raises-no-modseq
does: * MAILBOX %(HIGHESTMODSEQ 6 ...)
reason: it raises the modseq, which the master has not
rules: [CS-APPLY-35] [CS-VER-17]
evidence: spec/observed.jsonl annotation
