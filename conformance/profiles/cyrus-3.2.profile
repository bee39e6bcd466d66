about: cyrus-imapd 3.2.6, Debian 11
extends: cyrus
banner: Cyrus sync server 3.2

conforms: dlist/literal-without-a-plus

conforms: get/fetch-sieve-of-a-short-name

scenario: login/initial-response-is-no-base64
does: +<space>
reason: an initial response that is no base64 counts for none
rules: [CS-AUTH-3] [CS-VER-29]
evidence: spec/observed.jsonl authentication

scenario: dlist/file-in-a-malformed-line
does: OK Noop completed
reason: a file in a malformed line is not stepped over: its bytes are read as commands
rules: [CS-LIT-8] [CS-VER-26] [CS-EXC-19]
evidence: spec/observed.jsonl stepping-over

scenario: dlist/atom-too-long
does: OK success
reason: atoms have no limit
rules: [CS-LIT-9]
evidence: spec/observed.jsonl limits

scenario: dlist/quoted-string-too-long
does: * Fatal error: quoted value too long
reason: the answer does not begin with [TOOBIG]
rules: [CS-LIT-9]
evidence: spec/observed.jsonl limits

scenario: dlist/record-too-long
does: NO IMAP_PROTOCOL_ERROR Protocol error
reason: neither literals nor records have a limit; the record is refused for what it lacks
rules: [CS-LIT-9] [CS-LIMIT-11]
evidence: seen 3.2: APPLY MAILBOX %(... RECORD (%(UID 1 X-A {3500000+}\r\nxxx... X-B {3500000+}\r\nxxx...))) -> NO IMAP_PROTOCOL_ERROR Protocol error

scenario: dlist/literal-too-long
does: <waits>
reason: literals have no limit
rules: [CS-LIT-9]
evidence: spec/observed.jsonl limits

scenario: dlist/written-as-a-literal-when-special dlist/written-as-a-literal-when-long
does: * LSUB ("a*b")
does: * LSUB (*)
does: * ANNOTATION %(VALUE <repeat:1024 x> ...)
reason: literals are sent as {n+}, which clients with the fix of CVE-2024-34055 do not read
rules: [CS-LIT-3] [CS-VER-4]
evidence: seen 3.2: GET META u -> * LSUB ({3+}\r\na%b); the same for a\b, a"b and a\xe9b; VALUE {1024+}\r\nxxx... in * ANNOTATION

scenario: dlist/elements-that-are-no-text dlist/list-where-text-is-asked-for@1 dlist/list-where-text-is-asked-for@2 dlist/list-where-text-is-asked-for@3 dlist/list-where-text-is-asked-for@4
does: <closed>
reason: the process dies of it
rules: [CS-EXC-3]
evidence: spec/observed.jsonl bad-arguments

scenario: dlist/nil-where-text-is-required@1 dlist/nil-where-text-is-required@2 dlist/nil-where-text-is-required@3
does: <closed>
reason: the process dies of it
rules: [CS-EXC-3]
evidence: spec/observed.jsonl bad-arguments

scenario: get/annotation-of-no-mailbox
does: OK success
reason: the argument is a pattern that fits nothing
rules: [CS-GET-12] [CS-GET-22] [CS-VER-6]
evidence: spec/observed.jsonl annotation

scenario: get/annotation-of-the-server
does: NO IMAP_MAILBOX_NONEXISTENT *
reason: a server has no annotations
rules: [CS-VER-7]
evidence: spec/observed.jsonl annotation

scenario: get/mailboxes-of-an-intermediate
does: OK success
reason: intermediates are not listed
rules: [CS-VER-5]
evidence: spec/observed.jsonl mbox-intermediate

scenario: get/user-lists-intermediates
does: * MAILBOX %(MBOXNAME <box:m.kid> ...)
reason: intermediates are not listed
rules: [CS-VER-5]
evidence: spec/observed.jsonl mbox-intermediate

scenario: get/meta-scripts
does: * SIEVE %(FILENAME a.bc ISACTIVE 1 ...)
reason: the files of the sieve directory are listed, compiled ones with their own hash
rules: [CS-GET-31] [CS-VER-18]
evidence: spec/observed.jsonl sieve

scenario: get/uniqueids-*
does: <closed>
reason: the process dies of a uniqueid that it does not know
rules: [CS-EXC-3]
evidence: spec/observed.jsonl get-missing

scenario: get/user-without-mailboxes-has-nothing
does: * SEEN %(UNIQUEID <id:a> ...)
reason: what a user without a mailbox has is listed, too
rules: [CS-GET-15] [CS-VER-25]
evidence: seen 3.2: GET USER u -> * SEEN %(UNIQUEID ... LASTREAD 1 LASTUID 2 LASTCHANGE 3 SEENUIDS 1)

scenario: annotation/raises-no-modseq
does: * MAILBOX %(HIGHESTMODSEQ 6 ...)
reason: it raises the modseq, which the master has not
rules: [CS-APPLY-35] [CS-VER-17]
evidence: spec/observed.jsonl annotation

scenario: quota/resources-by-new-names
does: * QUOTA %(ROOT <box:inbox> LIMIT 100 STORAGE 100 MODSEQ 3)
reason: the names are unknown to it
rules: [CS-APPLY-37] [CS-VER-20]
evidence: spec/observed.jsonl quota

conforms: rename/to-an-unknown-partition

conforms: unmailbox/with-children

conforms: force/of-one-connection

scenario: mailbox/another-uniqueid-without-mail
does: NO IMAP_MAILBOX_MOVED *
reason: a mailbox never gives way
rules: [CS-MBOX-18] [CS-VER-9]
evidence: spec/observed.jsonl mbox-replace-empty

scenario: mailbox/below-a-user-without-inbox
does: OK success
reason: an INBOX is not asked for
rules: [CS-MBOX-36] [CS-VER-10]
evidence: spec/observed.jsonl mbox-create-refused

scenario: mailbox/tombstone-is-not-listed
does: <closed>
reason: the process dies of a uniqueid that it does not know
rules: [CS-EXC-3]
evidence: spec/observed.jsonl get-missing

scenario: mailbox/type-unknown
does: OK success
reason: unknown letters are ignored
rules: [CS-MBOX-11] [CS-VER-8]
evidence: spec/observed.jsonl mbox-type-unknown

scenario: rename/intermediate
does: NO IMAP_MAILBOX_NONEXISTENT *
reason: intermediates are no mailboxes there
rules: [CS-APPLY-20] [CS-VER-5]
evidence: seen 3.2: APPLY RENAME %(OLDMBOXNAME user.u.m NEWMBOXNAME user.u.n PARTITION default) -> NO IMAP_MAILBOX_NONEXISTENT No Such Mailbox

scenario: rename/uidvalidity-is-ignored
does: * MAILBOX %(UIDVALIDITY 5000 ...)
reason: the value is stored
rules: [CS-APPLY-19] [CS-VER-12]
evidence: spec/observed.jsonl rename

scenario: sieve/activated-and-not sieve/removed
does: * SIEVE %(FILENAME a.bc ISACTIVE 0 ...)
reason: the files of the sieve directory are listed, compiled ones as well
rules: [CS-GET-31] [CS-VER-18]
evidence: spec/observed.jsonl sieve

scenario: sieve/other-extension
does: NO IMAP_SYNC_BADSIEVE *
reason: every file is compiled
rules: [CS-APPLY-26] [CS-VER-18]
evidence: spec/observed.jsonl sieve

scenario: unuser/deleted-branch-stays
does: OK success
reason: the DELETED branch goes with the user
rules: [CS-APPLY-23] [CS-VER-16]
evidence: spec/observed.jsonl unuser

scenario: tls/banner-again
does: * OK *
reason: deflate is not offered inside TLS, and SIEVE-MAILBOX came with 3.6
rules: [CS-EXC-32] [CS-VER-39]
evidence: seen 3.2: inside TLS -> * SASL PLAIN | * OK cyrus.example Cyrus sync server 3.2.6-Debian-3.2.6-2+deb11u2

scenario: get/fetch-sieve-of-a-compiled-name
does: * SIEVE %(FILENAME something.bc ...)
reason: the files of the sieve directory are sent, compiled ones as well
rules: [CS-GET-21] [CS-VER-18]
evidence: seen 3.2: GET FETCH_SIEVE %(USERID u FILENAME something.bc) -> * SIEVE %(USERID u FILENAME something.bc CONTENT {32+}\r\nCyrSBytecode\x00\x00\x00\x1b...)

conforms: get/fetch-under-another-name mailbox/deleted-name-with-leading-zeros
