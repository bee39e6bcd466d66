about: sync_client of cyrus-imapd 3.6, as Debian packages it
extends: client-cyrus

scenario: cut/closed-after-an-answer@AUTHENTICATE cut/closed-instead-of-an-answer@AUTHENTICATE cut/silent-login
does: exit 0
reason: -o is not heeded: connecting is tried again after 15 seconds
rules: [CS-LOG-28]

scenario: login/client-no-mechanism-it-knows login/client-wants-scrams-proof@2 tls/client-refused
does: still running
reason: -o is not heeded: connecting is tried again for ever
rules: [CS-LOG-28]

scenario: rolling/in-the-order-of-the-log
does: not sent
reason: mailboxes are done before quotas, whatever the log's order
rules: [CS-LOG-20] [CS-VER-40]
