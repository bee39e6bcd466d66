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
