# What no Cyrus does as the spec asks; the versions' own files take back or add what differs.
about: what Cyrus 3.2, 3.6, 3.10 and 3.12 have in common

scenario: connection/imap-probe
does: BAD IMAP_PROTOCOL_ERROR Unrecognized command
reason: the tag is taken for the command; a stock master then waits ten seconds before it tries csync
rules: [CS-CONN-50] [CS-EXC-11]
evidence: spec/observed.jsonl imap-probe

scenario: login/too-many-failures
does: <waits>
reason: any number of logins may be tried on one connection
rules: [CS-AUTH-18]

scenario: login/unknown-user
does: NO user not found
reason: the SASL library tells an unknown user from a wrong password, so that user ids can be guessed
rules: [CS-AUTH-5]

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

scenario: dlist/date-before-1970 dlist/seen-dates-before-1970
does: NO IMAP_PROTOCOL_ERROR Protocol error
does: NO IMAP_PROTOCOL_BAD_PARAMETERS
reason: a server reads no sign before a date, though a client does
rules: [CS-DLIST-12]

scenario: dlist/nested-too-deeply
does: OK success
reason: nesting has no limit
rules: [CS-LIT-9]

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
