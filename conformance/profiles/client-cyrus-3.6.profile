about: sync_client of cyrus-imapd 3.6, as Debian packages it
extends: client-cyrus

scenario: cut/closed-after-an-answer@AUTHENTICATE cut/closed-instead-of-an-answer@AUTHENTICATE cut/silent-login
does: exit 0
reason: -o is not heeded: connecting is tried again after 15 seconds
rules: [CS-LOG-28]
evidence: seen 3.6: sync_client -o, whose first connection is closed in the login -> exit 0, by a second connection that does all

scenario: login/client-no-mechanism-it-knows login/client-wants-scrams-proof@2 tls/client-refused
does: still running
reason: -o is not heeded: connecting is tried again for ever
rules: [CS-LOG-28]
evidence: seen 3.6: sync_client -o, to * SASL X-NOBODY-KNOWS -> EXIT, then a second connection, and so on until the suite ends it

scenario: rolling/in-the-order-of-the-log
does: not sent
reason: mailboxes are done before quotas, whatever the log's order
rules: [CS-LOG-20] [CS-VER-40]
evidence: seen 3.6: the log has QUOTA before MAILBOX -> APPLY MAILBOX %(... MBOXNAME user.u.a ...), and APPLY QUOTA %(ROOT user.u ...) behind it
