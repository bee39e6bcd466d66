about: sync_client of cyrus-imapd 3.2, as Debian packages it
extends: client-cyrus

conforms: master/capabilities-without-their-line

conforms: master/deleted-in-the-deleted-branch

scenario: master/checksum-once
does: not sent
reason: the state is not asked for again before the second attempt
rules: [CS-MASTER-30]
evidence: seen 3.2: NO IMAP_SYNC_CHECKSUM to APPLY MAILBOX -> APPLY MAILBOX again at once, with no GET between

scenario: master/no-copyback
does: not sent
reason: FORCE came with 3.6
rules: [CS-MASTER-40]
evidence: seen 3.2: a replica with a higher modseq -> APPLY MAILBOX %(... LAST_UID 1 HIGHESTMODSEQ 9 ...), with no APPLY FORCE before it

scenario: master/set-up-order
does: not sent
reason: CAPABILITIES came with 3.6
rules: [CS-CONN-29]
evidence: seen 3.2: OK Success to the login -> GET USER u, with no APPLY CAPABILITIES before it

scenario: master/unknown-mailbox-of-the-replica-stays
does: APPLY UNMAILBOX *
reason: whatever the master does not have is deleted on the replica
rules: [CS-MASTER-11]
evidence: seen 3.2: * MAILBOX %(... MBOXNAME user.u.theirs ...) -> APPLY UNMAILBOX user.u.theirs

scenario: cut/closed-after-an-answer@APPLY-CAPABILITIES cut/closed-instead-of-an-answer@APPLY-CAPABILITIES cut/no-answer@APPLY-CAPABILITIES
does: exit 0
reason: CAPABILITIES came with 3.6
rules: [CS-CONN-29]
evidence: seen 3.2: OK Success to the login -> GET USER u, with no APPLY CAPABILITIES before it, and exit 0

scenario: login/client-scram login/client-wants-scrams-proof@1 login/client-wants-scrams-proof@2
does: exit 1
does: not sent
reason: Debian 11 packages no SCRAM
rules: [CS-VER-44]
evidence: seen 3.2: * SASL SCRAM-SHA-1 -> EXIT, with no AUTHENTICATE before it, and exit 1; the same for SCRAM-SHA-256

scenario: rolling/both-names-of-a-line
does: not sent
reason: lines of two names came with 3.4
rules: [CS-LOG-13]
evidence: seen 3.2: RENAME and two names in the log -> RESTART, with no command about either name before it

scenario: rolling/unmailbox-that-nobody-knows
does: APPLY UNMAILBOX *
reason: whatever the master does not have is deleted on the replica
rules: [CS-LOG-14]
evidence: seen 3.2: the log names a mailbox that only the replica has -> APPLY UNMAILBOX user.u.a

conforms: rolling/refused-quota-is-not-lost

scenario: master/code-that-nobody-knows-spares-the-rest
does: OK success
reason: the first refusal ends the work on the user
rules: [CS-CONN-42]
evidence: seen 3.2: NO IMAP_MOON_IS_FULL to APPLY SUB -> EXIT, with no APPLY SIEVE before it

scenario: master/renamed-mailbox-is-renamed-there
does: not sent
reason: it goes on with what it knew before the rename
rules: [CS-MASTER-15] [CS-VER-33]
evidence: seen 3.2: OK success to APPLY RENAME %(OLDMBOXNAME user.u.b NEWMBOXNAME user.u.a ...) -> APPLY MAILBOX %(... MBOXNAME user.u.a ...), then EXIT
