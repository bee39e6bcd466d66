about: sync_client of cyrus-imapd 3.10, as Debian packages it
extends: client-cyrus

scenario: rolling/in-the-order-of-the-log
does: not sent
reason: mailboxes are done before quotas, whatever the log's order
rules: [CS-LOG-20] [CS-VER-40]
evidence: seen 3.10: the log has QUOTA before MAILBOX -> APPLY MAILBOX %(... MBOXNAME user.u.a ...), and APPLY QUOTA %(ROOT user.u ...) behind it
