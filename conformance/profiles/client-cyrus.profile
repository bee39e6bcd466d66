about: what the sync_client of Cyrus 3.2, 3.6, 3.10 and 3.12 all do

scenario: master/reply-cut-in-half
does: exit 0
reason: an answer that ends without a line end counts by what there is of it
rules: [CS-CONN-7]
evidence: seen 3.2 3.6 3.10 3.12: `OK suc` to APPLY MAILBOX, and the close -> exit 0

scenario: master/banner-that-is-none master/banner-that-never-comes master/banner-that-says-bye
does: still running
reason: connecting is tried again for ever, after 15, 30, 60 seconds and so on
rules: [CS-CONN-3]
evidence: seen 3.2 3.6 3.10 3.12: 220 mail.example.org ESMTP, * BYE too busy, or nothing -> a second connection, and so on until the suite ends it

scenario: master/capabilities-without-their-line
does: exit signal
reason: the client crashes over the missing line
rules: [CS-CONN-30]
evidence: seen 3.6 3.10 3.12: OK success to APPLY CAPABILITIES (SIEVE-MAILBOX), with no * ENABLED before it -> the process ends by a signal

scenario: master/login-refused
does: exit signal
reason: the client crashes when the connection ends during the login
rules: [CS-AUTH-10]
evidence: seen 3.2 3.6 3.10 3.12: NO authentication failure, and the close -> the process ends by a signal

scenario: master/code-without-text
does: exit 1
reason: a code is recognised only when a blank follows it
rules: [CS-CONN-41]
evidence: seen 3.2 3.6 3.10 3.12: `NO IMAP_SYNC_CHECKSUM` with nothing behind it, to APPLY MAILBOX -> EXIT, and exit 1

scenario: master/deleted-mailbox-with-new-mail-comes-back
does: NO IMAP_MAILBOX_NONEXISTENT *
reason: a mailbox that was deleted here is deleted there with all mail that came in meanwhile
rules: [CS-EXC-28]
evidence: seen 3.2 3.6 3.10: * MAILBOX %(... MBOXNAME user.u.a ... LAST_UID 2 HIGHESTMODSEQ 9 ...) of a mailbox deleted here with LAST_UID 1 -> APPLY UNMAILBOX user.u.a

scenario: master/names-exchanged
does: exit 1
reason: a cycle of names is not broken, and fails in every run
rules: [CS-MASTER-14]
evidence: seen 3.2 3.6 3.10: two mailboxes of the other's name in the answer to GET USER -> EXIT (from 3.6 behind GET USER twice more), with no APPLY RENAME before it, and exit 1

scenario: master/deleted-in-the-deleted-branch
does: not sent
reason: what goes from the DELETED branch is left to the replica's own cyr_expire
rules: [CS-VER-21] [CS-MASTER-11]
evidence: seen 3.6 3.10 3.12: APPLY UNMAILBOX of DELETED.user.u.a.65A0B1C2 here, and * MAILBOX of it in the answer to GET USER -> EXIT, with no APPLY UNMAILBOX before it

scenario: master/other-mailboxes-go-on
does: NO IMAP_MAILBOX_NONEXISTENT *
reason: the first mailbox that fails ends the user's run
rules: [CS-MASTER-16]
evidence: seen 3.2 3.6 3.10 3.12: NO IMAP_INTERNAL_ERROR to APPLY MAILBOX of user.u.a -> EXIT, with no APPLY MAILBOX of user.u.b before it

scenario: master/reserve-that-lies
does: exit 1
reason: the first attempt is the only one
rules: [CS-MASTER-30]
evidence: seen 3.2 3.6 3.10 3.12: NO IMAP_PROTOCOL_BAD_PARAMETERS to APPLY MAILBOX, behind OK success to APPLY RESERVE -> EXIT, with no APPLY MESSAGE before it, and exit 1

scenario: cut/no-answer@APPLY-CAPABILITIES
does: still running
reason: sync_timeout counts only behind CAPABILITIES
rules: [CS-CONN-43]
evidence: seen 3.6 3.10 3.12: nothing to APPLY CAPABILITIES (SIEVE-MAILBOX) -> nothing more, until the suite ends it after 40 seconds

scenario: login/client-wants-scrams-proof@1
does: exit 0
reason: the library's client is done when it has sent its proof, and is not asked whether the replica's came
rules: [CS-AUTH-1]
evidence: seen 3.6 3.10 3.12: OK Success in place of the server's proof -> GET USER u and the rest, and exit 0

scenario: rolling/connection-lost rolling/silent-replica
does: not sent
reason: the client ends with code 0 when a connection in use is lost, and waits for somebody to start it again
rules: [CS-LOG-25]
evidence: seen 3.2 3.6 3.10 3.12: the close, or nothing for sync_timeout, to GET MAILBOXES (user.u) -> exit 0, and no second connection

scenario: rolling/line-that-cannot-be-read@4 rolling/line-that-cannot-be-read@5 rolling/line-that-cannot-be-read@6
does: not sent
reason: reading ends there without a word; the lines behind are lost
rules: [CS-LOG-7]
evidence: seen 3.2 3.6 3.10 3.12: a log with such a line -> the set-up of the connection (3.2: RESTART), and no command about the lines behind it

scenario: rolling/others-go-on
does: not sent
reason: the first user that fails ends the run, which begins again with the same user
rules: [CS-LOG-22]
evidence: seen 3.2 3.6 3.10 3.12: one user whom the replica refuses, in one log with others -> connection after connection (hundreds in 40 seconds), none with a command about the others

scenario: rolling/refused-quota-is-not-lost
does: GET USER NIL
reason: promoted to a user without a name, whom another Cyrus answers OK: the change is lost
rules: [CS-LOG-21]
evidence: seen 3.6 3.10 3.12: NO to APPLY QUOTA %(ROOT user.u ...) -> GET USER NIL

scenario: tls/client-handshake-fails
does: exit signal
reason: the client crashes
rules: [CS-AUTH-15]
evidence: seen 3.2 3.6 3.10 3.12: \x00\xffthis is no TLS behind OK Begin TLS negotiation now -> the process ends by a signal

scenario: tls/client-insists
does: exit 0
reason: there is no setting for it
rules: [CS-AUTH-15]
evidence: seen 3.2 3.6 3.10 3.12: a banner without STARTTLS, and mailtwin_tls: required -> AUTHENTICATE in clear and the rest, and exit 0

scenario: tls/client-trusts-no-stranger
does: exit 0
reason: nothing is verified
rules: [CS-AUTH-17]
evidence: seen 3.2 3.6 3.10 3.12: a certificate that nobody vouches for -> AUTHENTICATE inside TLS and the rest, and exit 0

scenario: master/intermediate-is-sent
does: not sent
reason: one that came over csync, as the suite brings it about, and has a mailbox below it is not sent
rules: [CS-MASTER-17]
evidence: seen 3.2 3.6 3.10: an intermediate user.u.m with user.u.m.kid below it -> APPLY MAILBOX of user.u and of user.u.m.kid, and EXIT

scenario: master/seen-refused-is-a-failure
does: exit 0
reason: what is refused of the seen states fails nobody, and is not sent again before it changes
rules: [CS-MASTER-7]
evidence: seen 3.2 3.6 3.10 3.12: NO IMAP_INTERNAL_ERROR to APPLY SEEN -> EXIT, and exit 0

scenario: master/what-moved-goes-with-its-copy
does: APPLY EXPUNGE *
reason: the replica expunges first, and holds the message nowhere until the update
rules: [CS-MASTER-50]
evidence: seen 3.2 3.6 3.10 3.12: UID 1 with another GUID in the answer to GET FULLMAILBOX -> APPLY EXPUNGE %(MBOXNAME user.u UNIQUEID ... UID (1)), and behind its answer APPLY MAILBOX
