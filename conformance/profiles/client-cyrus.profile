about: what the sync_client of Cyrus 3.2, 3.6, 3.10 and 3.12 all do

scenario: master/reply-cut-in-half
does: exit 0
reason: an answer that ends without a line end counts by what there is of it
rules: [CS-CONN-7]

scenario: master/banner-that-is-none master/banner-that-never-comes master/banner-that-says-bye
does: still running
reason: connecting is tried again for ever, after 15, 30, 60 seconds and so on
rules: [CS-CONN-3]

scenario: master/capabilities-without-their-line
does: exit signal
reason: the client crashes over the missing line
rules: [CS-CONN-30]

scenario: master/login-refused
does: exit signal
reason: the client crashes when the connection ends during the login
rules: [CS-AUTH-10]

scenario: master/code-without-text
does: exit 1
reason: a code is recognised only when a blank follows it
rules: [CS-CONN-41]

scenario: master/deleted-mailbox-with-new-mail-comes-back
does: NO IMAP_MAILBOX_NONEXISTENT *
reason: a mailbox that was deleted here is deleted there with all mail that came in meanwhile
rules: [CS-EXC-28]

scenario: master/names-exchanged
does: exit 1
reason: a cycle of names is not broken, and fails in every run
rules: [CS-MASTER-14]

scenario: master/other-mailboxes-go-on
does: NO IMAP_MAILBOX_NONEXISTENT *
reason: the first mailbox that fails ends the user's run
rules: [CS-MASTER-16]

scenario: master/reserve-that-lies
does: exit 1
reason: the first attempt is the only one
rules: [CS-MASTER-30]

scenario: cut/no-answer@APPLY-CAPABILITIES
does: still running
reason: sync_timeout counts only behind CAPABILITIES
rules: [CS-CONN-43]

scenario: login/client-wants-scrams-proof@1
does: exit 0
reason: the library's client is done when it has sent its proof, and is not asked whether the replica's came
rules: [CS-AUTH-1]

scenario: rolling/connection-lost rolling/silent-replica
does: not sent
reason: the client ends with code 0 when a connection in use is lost, and waits for somebody to start it again
rules: [CS-LOG-25]

scenario: rolling/line-that-cannot-be-read@4 rolling/line-that-cannot-be-read@5 rolling/line-that-cannot-be-read@6
does: not sent
reason: reading ends there without a word; the lines behind are lost
rules: [CS-LOG-7]

scenario: rolling/others-go-on
does: not sent
reason: the first user that fails ends the run, which begins again with the same user
rules: [CS-LOG-22]

scenario: rolling/refused-quota-is-not-lost
does: GET USER NIL
reason: promoted to a user without a name, whom another Cyrus answers OK: the change is lost
rules: [CS-LOG-21]

scenario: tls/client-handshake-fails
does: exit signal
reason: the client crashes
rules: [CS-AUTH-15]

scenario: tls/client-insists
does: exit 0
reason: there is no setting for it
rules: [CS-AUTH-15]

scenario: tls/client-trusts-no-stranger
does: exit 0
reason: nothing is verified
rules: [CS-AUTH-17]
evidence: cargo nextest run -p conformance --test tls

scenario: master/intermediate-is-sent
does: not sent
reason: one that came over csync, as the suite brings it about, and has a mailbox below it is not sent
rules: [CS-MASTER-17]
