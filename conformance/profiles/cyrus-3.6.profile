about: cyrus-imapd 3.6.1, Debian 12
extends: cyrus
banner: Cyrus sync server 3.6

scenario: login/initial-response-is-no-base64
does: +<space>
reason: an initial response that is no base64 counts for none
rules: [CS-AUTH-3] [CS-VER-29]
evidence: spec/observed.jsonl authentication

scenario: get/annotation-of-no-mailbox
does: OK success
reason: the argument is a pattern that fits nothing
rules: [CS-GET-12] [CS-GET-22] [CS-VER-6]
evidence: spec/observed.jsonl annotation

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

scenario: quota/resources-by-new-names
does: * QUOTA %(ROOT <box:inbox> LIMIT 100 STORAGE 100 MODSEQ 3)
reason: the names are unknown to it
rules: [CS-APPLY-37] [CS-VER-20]
evidence: spec/observed.jsonl quota

scenario: force/record-modseq-backwards
does: * Fatal error: Internal error: assertion failed: *
reason: the process dies of it, FORCE or not
rules: [CS-APPLY-49] [CS-MBOX-30]
evidence: seen 3.6: APPLY MAILBOX behind APPLY FORCE -> * Fatal error: Internal error: assertion failed: imap/mailbox.c: 4421: record->modseq >= oldrecord.modseq
