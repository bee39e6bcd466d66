about: sync_client of cyrus-imapd 3.12, as Debian packages it
extends: client-cyrus

conforms: master/deleted-mailbox-with-new-mail-comes-back

scenario: master/deleted-mailbox-is-deleted-there
does: not sent
reason: a deletion that came over csync, as the suite brings it about, is not passed on; one by IMAP is
evidence: seen 3.12: a mailbox that APPLY UNMAILBOX of the suite removed here, and * MAILBOX %(... MBOXNAME user.u.a ...) of it there -> EXIT, with no APPLY UNMAILBOX before it; the matrix deletes one by IMAP, and it goes
rules: [CS-MASTER-11]

scenario: master/names-exchanged
does: exit 1
reason: with mailboxes that came over csync, as the suite brings it about, a cycle of names is not broken; where IMAP renamed them, the names go by way of the third that they had
rules: [CS-MASTER-14] [CS-VER-34]
evidence: spec/sessions/3.12/16-swap.jsonl 16-swap

scenario: rolling/in-the-order-of-the-log
does: not sent
reason: mailboxes are done before quotas, whatever the log's order
rules: [CS-LOG-20] [CS-VER-40]
evidence: seen 3.12: the log has QUOTA before MAILBOX -> APPLY MAILBOX %(... MBOXNAME user.u.a ...), and APPLY QUOTA %(ROOT user.u ...) behind it

scenario: master/asks-for-a-user-once
does: GET MAILBOXES *
reason: it asks again by all names that it has for the user
rules: [CS-MASTER-8] [CS-VER-32]
evidence: seen 3.12: sync_client -u u, behind GET USER u -> GET MAILBOXES (user.u ...)

conforms: master/intermediate-is-sent
