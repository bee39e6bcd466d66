about: sync_client of cyrus-imapd 3.2, as Debian packages it
extends: client-cyrus

conforms: master/capabilities-without-their-line

scenario: master/checksum-once
does: not sent
reason: the state is not asked for again before the second attempt
rules: [CS-MASTER-30]

scenario: master/no-copyback
does: not sent
reason: FORCE came with 3.6
rules: [CS-MASTER-40]

scenario: master/set-up-order
does: not sent
reason: CAPABILITIES came with 3.6
rules: [CS-CONN-29]

scenario: master/unknown-mailbox-of-the-replica-stays
does: APPLY UNMAILBOX *
reason: whatever the master does not have is deleted on the replica
rules: [CS-MASTER-11]

scenario: cut/closed-after-an-answer@APPLY-CAPABILITIES cut/closed-instead-of-an-answer@APPLY-CAPABILITIES cut/no-answer@APPLY-CAPABILITIES
does: exit 0
reason: CAPABILITIES came with 3.6
rules: [CS-CONN-29]

scenario: login/client-scram login/client-wants-scrams-proof
does: exit 1
does: not sent
reason: Debian 11 packages no SCRAM
rules: [CS-VER-44]

scenario: rolling/both-names-of-a-line
does: not sent
reason: lines of two names came with 3.4
rules: [CS-LOG-13]

scenario: rolling/unmailbox-that-nobody-knows
does: APPLY UNMAILBOX *
reason: whatever the master does not have is deleted on the replica
rules: [CS-LOG-14]

conforms: rolling/refused-quota-is-not-lost

scenario: master/code-that-nobody-knows-spares-the-rest
does: OK success
reason: the first refusal ends the work on the user
rules: [CS-CONN-42]

scenario: master/renamed-mailbox-is-renamed-there
does: not sent
reason: it goes on with what it knew before the rename
rules: [CS-MASTER-15] [CS-VER-33]
