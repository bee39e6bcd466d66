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
