about: sync_client of cyrus-imapd 3.12, as Debian packages it
extends: client-cyrus

conforms: master/deleted-mailbox-with-new-mail-comes-back

scenario: master/deleted-mailbox-is-deleted-there
does: not sent
reason: a deletion that came over csync, as the suite brings it about, is not passed on; one by IMAP is
evidence: conformance matrix, 3.12 to 3.12, incremental: equal with a mailbox deleted by IMAP
rules: [CS-MASTER-11]
