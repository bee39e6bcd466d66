# What no Cyrus does as the spec asks; the versions' own files take back or add what differs.
about: what Cyrus 3.2, 3.6, 3.10 and 3.12 have in common

scenario: connection/imap-probe
does: BAD IMAP_PROTOCOL_ERROR Unrecognized command
reason: the tag is taken for the command; a stock master then waits ten seconds before it tries csync
rules: [CS-CONN-50] [CS-EXC-11]
evidence: spec/observed.jsonl imap-probe

scenario: connection/file-before-login
does: OK Noop completed
reason: a refused command's file is not stepped over: its bytes are read as commands
rules: [CS-APPLY-1] [CS-EXC-19]
evidence: spec/observed.jsonl stepping-over

scenario: dlist/octets-of-a-malformed-line@4
does: OK Noop completed
reason: a synchronising literal in a malformed line is not stepped over: its bytes are read as commands
rules: [CS-LIT-8] [CS-EXC-19]
evidence: spec/observed.jsonl stepping-over

scenario: login/too-many-failures
does: <waits>
reason: any number of logins may be tried on one connection
rules: [CS-AUTH-18]
evidence: seen 3.2 3.6 3.10 3.12: AUTHENTICATE PLAIN, the fifth time -> NO authentication failure, and nothing more

scenario: login/unknown-user
does: NO user not found
reason: the SASL library tells an unknown user from a wrong password, so that user ids can be guessed
rules: [CS-AUTH-5]
evidence: seen 3.2 3.6 3.10 3.12: AUTHENTICATE PLAIN of a user that nobody has made -> NO user not found; of one that is there -> NO authentication failure

scenario: dlist/missing-value dlist/open-list dlist/open-list-behind-a-file
does: <waits>
reason: a line end is taken for a blank between tokens, and the next line for what is missing
rules: [CS-DLIST-6] [CS-EXC-1]
evidence: spec/vectors/grammar-invalid.jsonl missing-value, unterminated-list

scenario: dlist/nul
does: OK success
reason: the text ends at the NUL
rules: [CS-EXC-1]
evidence: spec/vectors/grammar-invalid.jsonl nul

scenario: dlist/value-begins-with-an-8-bit-byte
does: * Fatal error: Trying to unput wrong character
reason: the reader puts the byte back with its sign
rules: [CS-DLIST-11]
evidence: spec/vectors/grammar-invalid.jsonl eight-bit-start

scenario: dlist/number-that-is-none@5
does: OK success
reason: a number of more than 32 bits is cut to its lower half
rules: [CS-DLIST-12]
evidence: seen 3.2 3.6 3.10 3.12: APPLY MAILBOX %(... LAST_UID 4294967296 ...) -> OK success

scenario: dlist/date-before-1970 dlist/seen-dates-before-1970
does: NO IMAP_PROTOCOL_ERROR Protocol error
does: NO IMAP_PROTOCOL_BAD_PARAMETERS
reason: a server reads no sign before a date, though a client does
rules: [CS-DLIST-12]
evidence: seen 3.2 3.6 3.10 3.12: APPLY MAILBOX with INTERNALDATE -5 -> NO IMAP_PROTOCOL_ERROR Protocol error; APPLY SEEN %(... LASTREAD -5 LASTUID 1 LASTCHANGE -1 SEENUIDS 1) -> NO IMAP_PROTOCOL_BAD_PARAMETERS

scenario: dlist/nested-too-deeply
does: OK success
reason: nesting has no limit
rules: [CS-LIT-9]
evidence: seen 3.2 3.6 3.10 3.12: APPLY SUB %(... X-UNKNOWN ((((... with more than 64 of them -> OK success

scenario: apply/records-before-the-keys
does: NO IMAP_PROTOCOL_ERROR Protocol error
reason: records may come before the keys without a limit; these are refused for what they hold
rules: [CS-EXC-20] [CS-LIMIT-20]
evidence: seen 3.2 3.6 3.10 3.12: APPLY MAILBOX %(RECORD (...) UNIQUEID ...) with 18 MB of records -> NO IMAP_PROTOCOL_ERROR Protocol error

scenario: dlist/list-of-too-many
does: OK success
reason: elements have no limit
rules: [CS-LIT-9] [CS-LIMIT-8]
evidence: seen 3.2 3.6 3.10 3.12: GET MAILBOXES (x x x ...) of 140,000 names -> OK success

scenario: dlist/file-too-long
does: * Fatal error: num too big
reason: the number is refused, with no word of a limit
rules: [CS-LIT-9] [CS-LIMIT-12]
evidence: seen 3.2 3.6 3.10 3.12: APPLY MESSAGE (%{default a9993e364706816aba3e25717850c26c9cd0d89d 4294967296} -> * Fatal error: num too big

scenario: dlist/literal-without-a-plus
does: <closed>
reason: the process dies of a synchronising literal since the fix of CVE-2024-34055
rules: [CS-LIT-2] [CS-VER-4] [CS-EXC-3]
evidence: spec/vectors/grammar-valid.jsonl GV-005

scenario: dlist/capability-that-is-no-text
does: <closed>
reason: the process dies of it
rules: [CS-EXC-3]
evidence: spec/observed.jsonl bad-arguments

scenario: dlist/list-where-text-is-asked-for@1 dlist/list-where-text-is-asked-for@2 dlist/list-where-text-is-asked-for@3 dlist/list-where-text-is-asked-for@4
does: OK success
reason: no user has such an id
rules: [CS-EXC-3]
evidence: spec/observed.jsonl bad-arguments

scenario: dlist/list-where-text-is-asked-for@5 dlist/list-where-text-is-asked-for@6 dlist/list-where-text-is-asked-for@7 dlist/list-where-text-is-asked-for@8
does: * Fatal error: *
does: <closed>
reason: the process dies of it
rules: [CS-EXC-3]
evidence: spec/observed.jsonl bad-arguments

scenario: dlist/nil-where-text-is-required@1 dlist/nil-where-text-is-required@4 dlist/nil-where-text-is-required@5
does: OK success
reason: nothing is looked for under no name
rules: [CS-EXC-3]
evidence: spec/observed.jsonl bad-arguments

scenario: dlist/nil-where-text-is-required@2 dlist/nil-where-text-is-required@3
does: NO IMAP_MAILBOX_NONEXISTENT *
reason: nothing is looked for under no name
rules: [CS-EXC-3]
evidence: spec/observed.jsonl bad-arguments

scenario: dlist/nil-where-text-is-required@6 dlist/nil-where-text-is-required@7 dlist/nil-where-text-is-required@8
does: <closed>
reason: the process dies of it
rules: [CS-EXC-3]
evidence: spec/observed.jsonl bad-arguments

scenario: get/fetch-sieve-of-a-short-name
does: * Fatal error: Virtual memory exhausted
does: <closed>
reason: the length of the extension is taken from that of the name
rules: [CS-GET-21] [CS-EXC-3]
evidence: spec/observed.jsonl sieve

scenario: mailbox/crc-wrong-leaves-nothing
does: * MAILBOX %(HIGHESTMODSEQ 6 LAST_UID 2 ...)
reason: the sums are checked when everything has been written, and nothing is undone
rules: [CS-EXC-2]
evidence: spec/observed.jsonl mbox-crc-mismatch-keeps

scenario: mailbox/intermediate-hides-no-mailbox
does: OK success
reason: the name's entry is overwritten without a look, and the mailbox is lost from view
rules: [CS-EXC-8]
evidence: spec/observed.jsonl mbox-intermediate

scenario: mailbox/keyword-nil
does: <closed>
reason: a bare NIL is null, and the process dies of it; a mailbox with this keyword cannot be replicated
rules: [CS-DLIST-19] [CS-EXC-9]
evidence: spec/observed.jsonl flags-nil

scenario: mailbox/live-record-without-bytes mailbox/null-guid mailbox/bytes-of-another-hash mailbox/bytes-on-another-partition messages/dropped-by-restart messages/of-one-connection
does: <closed>
does: * Fatal error: *
reason: the process dies of a live record without its bytes
rules: [CS-EXC-4] [CS-EXC-5]
evidence: spec/observed.jsonl mbox-unstaged, mbox-wrong-content, staging

scenario: mailbox/uid-twice mailbox/uids-out-of-order mailbox/uid-above-last-uid
does: <closed>
does: * Fatal error: *
reason: the process dies of records that contradict each other or their header
rules: [CS-MBOX-39] [CS-EXC-7]
evidence: spec/observed.jsonl mbox-inconsistent-records

scenario: mailbox/uid-of-zero
does: * MAILBOX %(MBOXNAME <box:a> LAST_UID 0 HIGHESTMODSEQ 2 ...)
reason: the record is refused after the mailbox was made
rules: [CS-EXC-2] [CS-EXC-7]
evidence: spec/observed.jsonl mbox-inconsistent-records

scenario: mailbox/modseq-above-highestmodseq
does: OK success
reason: the record is stored as it is
rules: [CS-MBOX-39] [CS-EXC-7]
evidence: spec/observed.jsonl mbox-inconsistent-records

scenario: mailbox/type-unknown
does: * Fatal error: *
does: <closed>
reason: the process dies of a letter that it does not know
rules: [CS-MBOX-11] [CS-VER-8]
evidence: spec/observed.jsonl mbox-type-unknown

scenario: messages/expunge-unknown-uid-last
does: NO Unknown error
reason: the answer is that for the last UID of the list
rules: [CS-APPLY-15] [CS-EXC-13]
evidence: spec/observed.jsonl expunge

scenario: messages/unknown-partition
does: * Fatal error: *
does: <closed>
reason: the process dies of it
rules: [CS-APPLY-13] [CS-EXC-3]
evidence: spec/observed.jsonl bad-arguments

scenario: restore/without-record
does: <closed>
does: * Fatal error: *
reason: the process dies of it
rules: [CS-RESTORE-1] [CS-EXC-3]
evidence: spec/observed.jsonl restore

scenario: rename/to-an-unknown-partition
does: OK success
reason: the mailbox gets its new name and stays where it was
rules: [CS-APPLY-18] [CS-VER-13] [CS-EXC-21]
evidence: spec/observed.jsonl rename

scenario: unmailbox/with-children
does: * MAILBOX %(MBOXNAME <box:a> MBOXTYPE ei ...)
reason: an intermediate stays in its place, which no command removes
rules: [CS-APPLY-22] [CS-VER-15] [CS-EXC-14]
evidence: spec/observed.jsonl unmailbox

scenario: force/of-one-connection
does: OK success
reason: the switch stays with the process, which serves other connections afterwards
rules: [CS-APPLY-49] [CS-EXC-6]
evidence: spec/observed.jsonl force

scenario: dlist/key-begins-with-a-brace-or-8-bit-byte@3
does: * Fatal error: Trying to unput wrong character
reason: the reader puts the byte back with its sign
rules: [CS-DLIST-11]
evidence: seen 3.2 3.6 3.10 3.12: APPLY SUB %(\xc3\xa4 1 MBOXNAME a USERID u) -> * Fatal error: Trying to unput wrong character

scenario: rename/inbox-to-a-mailbox-of-its-user rename/inbox-to-another-user
does: NO IMAP_MAILBOX_NOTSUPPORTED *
reason: an INBOX keeps its name unless allowusermoves is on
rules: [CS-APPLY-18] [CS-EXC-33]
evidence: seen 3.2 3.6 3.10 3.12: APPLY RENAME %(OLDMBOXNAME user.u NEWMBOXNAME user.u.a PARTITION default) -> NO IMAP_MAILBOX_NOTSUPPORTED Operation is not supported on mailbox; the same to user.ub

scenario: restore/annotations-added
does: OK success
reason: what RESTORE says of a mailbox's annotations is not looked at
rules: [CS-RESTORE-2]
evidence: seen 3.2 3.6 3.10 3.12: GET ANNOTATION user.u.a -> * ANNOTATION %(MBOXNAME user.u.a ENTRY /comment USERID u VALUE old) | OK success, with no line for /vendor/x

scenario: subscriptions/longest-name@1019 subscriptions/longest-name@4000
does: * Fatal error: word too long
reason: the process dies of the line that it wrote itself
rules: [CS-EXC-3] [CS-APPLY-24]
evidence: seen 3.2 3.6 3.10 3.12: APPLY SUB %(MBOXNAME user.xxx... USERID u) of 1,019 and of 4,000 bytes -> * Fatal error: word too long

scenario: tls/banner-again
does: * SIEVE-MAILBOX
reason: deflate is not offered inside TLS
rules: [CS-EXC-32] [CS-VER-45]
evidence: seen 3.6 3.10 3.12: inside TLS -> * SASL PLAIN | * SIEVE-MAILBOX

scenario: together/mail-that-came-meanwhile together/renamed-since-it-was-looked-at
does: OK success
reason: a delete or a rename goes by the name alone
rules: [CS-EXC-42]
evidence: seen 3.2 3.6 3.10 3.12: C1 GET MAILBOXES (user.u.a), C2 APPLY MAILBOX with UID 1, C1 APPLY UNMAILBOX user.u.a -> OK success; C2 APPLY RENAME of user.u.b to user.u.a, C1 APPLY RENAME of user.u.a -> OK success

scenario: userflags/added userflags/in-the-order-they-came userflags/stay-behind-the-record
does: * MAILBOX %(!USERFLAGS ...)
reason: USERFLAGS came with 3.12
rules: [CS-VER-28] [CS-MBOX-28]
evidence: seen 3.2 3.6 3.10: GET MAILBOXES (user.u.a) -> * MAILBOX %(UNIQUEID ... LAST_UID 1 HIGHESTMODSEQ 2 ...), with no key USERFLAGS

scenario: sieve/does-not-compile
does: NO IMAP_SYNC_BADSIEVE *
does: NO Unknown error
reason: scripts are compiled on arrival
rules: [CS-APPLY-27] [CS-VER-19]
evidence: spec/observed.jsonl sieve

scenario: get/fetch-under-another-name
does: * MESSAGE *
reason: the mailbox is found by its UNIQUEID
rules: [CS-VER-23]
evidence: seen 3.6 3.10 3.12: GET FETCH %(MBOXNAME user.u.b PARTITION default UNIQUEID (that of user.u.a) GUID ... UID 1) -> * MESSAGE %{default ... 161}\r\nFrom: ...

scenario: mailbox/deleted-name-with-leading-zeros
does: * MAILBOX %(MBOXNAME DELETED.<box:a>.A0B1C2 ...)
reason: the suffix is read as a number and written anew
rules: [CS-VER-24] [CS-EXC-23]
evidence: seen 3.6 3.10 3.12: made as DELETED.user.u.a.00A0B1C2; GET USER u -> * MAILBOX %(... MBOXNAME DELETED.user.u.a.A0B1C2 ...)

scenario: tls/handshake-that-is-none
does: <waits>
reason: it says NO Starttls failed in clear, and goes on
rules: [CS-AUTH-13] [CS-VER-30]
evidence: seen 3.2 3.6 3.10: a line of text behind OK Begin TLS negotiation now -> NO Starttls failed | BAD IMAP_PROTOCOL_ERROR Unrecognized command | BAD Null command
