about: sync_client of cyrus-imapd 3.12, as Debian packages it
extends: client-cyrus

conforms: master/deleted-mailbox-with-new-mail-comes-back

scenario: master/deleted-mailbox-is-deleted-there
does: not sent
reason: a deletion that came over csync, as the suite brings it about, is not passed on; one by IMAP is
evidence: conformance matrix, 3.12 to 3.12, incremental: equal with a mailbox deleted by IMAP
rules: [CS-MASTER-11]

scenario: rolling/in-the-order-of-the-log
does: not sent
reason: mailboxes are done before quotas, whatever the log's order
rules: [CS-LOG-20] [CS-VER-40]

scenario: master/asks-for-a-user-once
does: GET MAILBOXES *
reason: it asks again by all names that it has for the user
rules: [CS-MASTER-8] [CS-VER-32]

conforms: master/intermediate-is-sent
