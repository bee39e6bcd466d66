//! Arbitrary values of every type of the protocol.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use protocol::command::{Apply, Command, Fetch, FileHead, Get, Quota, Reserve, Seen, Streaming};
use protocol::grammar::Value;
use protocol::response::{Code, Data, Final, Sieve, StreamingData};
use protocol::{Annotation, Flags, Guid, MailboxLine, MailboxOptions, Record, SystemFlags, Text};

/// Strings with a meaning elsewhere.
const SPECIAL: &[&[u8]] = &[
    b"NIL",
    b"",
    b"\r\n",
    b"{3+}\r\n",
    b"\\Seen",
    b"\0",
    b"%{",
    b"RECORD",
];

/// Bytes that make every form of a string likely.
pub fn bytes() -> BoxedStrategy<Vec<u8>> {
    prop_oneof![
        4 => "[a-zA-Z0-9./&^-]{1,12}".prop_map(String::into_bytes),
        2 => "[ -~\t]{0,12}".prop_map(String::into_bytes),
        2 => vec(any::<u8>(), 0..12),
        1 => prop::sample::select(SPECIAL).prop_map(<[u8]>::to_vec),
        1 => (1020usize..1027, prop_oneof![Just(b'a'), Just(b' ')]).prop_map(|(len, byte)| vec![byte; len]),
    ]
    .boxed()
}

pub fn text() -> BoxedStrategy<Text> {
    bytes().prop_map(Text::from).boxed()
}

fn otext() -> BoxedStrategy<Option<Text>> {
    of(text()).boxed()
}

fn texts() -> BoxedStrategy<Option<Vec<Text>>> {
    of(vec(text(), 0..4)).boxed()
}

/// A word of a line of words: no blanks, no line ends.
fn word() -> BoxedStrategy<Text> {
    "[!-~]{1,10}".prop_map(Text::from).boxed()
}

/// A keyword no version knows.
fn unknown() -> BoxedStrategy<Text> {
    "X-[A-Z]{0,6}".prop_map(Text::from).boxed()
}

pub fn guid() -> BoxedStrategy<Guid> {
    any::<[u8; 20]>().prop_map(Guid::from_bytes).boxed()
}

fn flags() -> BoxedStrategy<Flags> {
    let keyword = text().prop_filter("a keyword", |name| !name.is_empty() && name[0] != b'\\');
    (any::<u8>(), vec(keyword, 0..4))
        .prop_map(|(bits, keywords)| Flags {
            system: SystemFlags::from_bits(bits),
            keywords,
        })
        .boxed()
}

fn annotation() -> BoxedStrategy<Annotation> {
    let entry = prop_oneof![Just(Text::from_static(Annotation::THRID)), text()];
    (entry, text(), any::<u64>(), text())
        .prop_map(|(entry, userid, modseq, value)| Annotation {
            entry,
            userid,
            modseq,
            value,
        })
        .boxed()
}

pub fn record() -> BoxedStrategy<Record> {
    let numbers = (1u32.., any::<u64>(), any::<i64>(), any::<i64>(), any::<u64>());
    (numbers, flags(), guid(), vec(annotation(), 0..4))
        .prop_map(
            |((uid, modseq, last_updated, internaldate, size), flags, guid, annotations)| Record {
                uid,
                modseq,
                last_updated,
                flags,
                internaldate,
                size,
                guid,
                annotations,
            },
        )
        .boxed()
}

/// The keys of a line from one kind of value each, for the three kinds that are plain.
fn plain_keys(texts: [Option<Text>; 6], numbers: [Option<u32>; 9], modseqs: [Option<u64>; 7]) -> MailboxLine {
    let [jmapid, uniqueid, mboxname, mboxtype, usergroups, quotaroot] = texts;
    let [
        sync_crc,
        sync_crc_annot,
        last_uid,
        recentuid,
        compact_emailids,
        version,
        uidvalidity,
        ..,
    ] = numbers;
    let [
        highestmodseq,
        xconvmodseq,
        raclmodseq,
        createdmodseq,
        foldermodseq,
        deletedmodseq,
        since_modseq,
    ] = modseqs;
    MailboxLine {
        jmapid,
        uniqueid,
        mboxname,
        mboxtype,
        usergroups,
        quotaroot,
        sync_crc,
        sync_crc_annot,
        last_uid,
        recentuid,
        compact_emailids,
        version,
        uidvalidity,
        since_crc: numbers[7],
        since_crc_annot: numbers[8],
        highestmodseq,
        xconvmodseq,
        raclmodseq,
        createdmodseq,
        foldermodseq,
        deletedmodseq,
        since_modseq,
        ..MailboxLine::default()
    }
}

pub fn mailbox_line() -> BoxedStrategy<Box<MailboxLine>> {
    let plain = (
        proptest::array::uniform6(otext()),
        proptest::array::uniform9(of(any::<u32>())),
        proptest::array::uniform7(of(any::<u64>())),
    )
        .prop_map(|(texts, numbers, modseqs)| plain_keys(texts, numbers, modseqs));
    let dates = proptest::array::uniform4(of(any::<i64>()));
    let nullable = (of(otext()), of(otext()));
    let keyword = text().prop_filter("a keyword", |name| !name.is_empty());
    let lists = (of(vec(annotation(), 0..3)), of(vec(keyword, 0..3)));
    let rest = (of(0u8..16), any::<bool>());
    (plain, dates, nullable, lists, rest)
        .prop_map(
            |(plain, dates, (partition, acl), (annotations, userflags), (options, has_records))| {
                let [recenttime, last_appenddate, pop3_last_login, pop3_show_after] = dates;
                Box::new(MailboxLine {
                    recenttime,
                    last_appenddate,
                    pop3_last_login,
                    pop3_show_after,
                    partition,
                    acl,
                    options: options.map(MailboxOptions::from_bits),
                    annotations,
                    userflags,
                    has_records,
                    ..plain
                })
            },
        )
        .boxed()
}

fn seen(userid: impl Strategy<Value = Option<Text>> + 'static) -> BoxedStrategy<Seen> {
    (
        userid,
        otext(),
        of(any::<i64>()),
        of(any::<u32>()),
        of(any::<i64>()),
        otext(),
    )
        .prop_map(
            |(userid, uniqueid, lastread, lastuid, lastchange, seenuids)| Seen {
                userid,
                uniqueid,
                lastread,
                lastuid,
                lastchange,
                seenuids,
            },
        )
        .boxed()
}

fn quota() -> BoxedStrategy<Quota> {
    (
        otext(),
        proptest::array::uniform5(of(any::<u32>())),
        of(any::<u64>()),
    )
        .prop_map(
            |(root, [limit, storage, message, annotation_storage, num_folders], modseq)| Quota {
                root,
                limit,
                storage,
                message,
                annotation_storage,
                num_folders,
                modseq,
            },
        )
        .boxed()
}

fn get() -> BoxedStrategy<Get> {
    let fetch = (otext(), otext(), otext(), of(guid()), of(any::<u32>())).prop_map(
        |(mboxname, partition, uniqueid, guid, uid)| {
            Get::Fetch(Fetch {
                mboxname,
                partition,
                uniqueid,
                guid,
                uid,
            })
        },
    );
    prop_oneof![
        otext().prop_map(Get::User),
        otext().prop_map(Get::Meta),
        texts().prop_map(Get::Mailboxes),
        texts().prop_map(Get::Uniqueids),
        otext().prop_map(Get::FullMailbox),
        otext().prop_map(Get::Quota),
        otext().prop_map(Get::Annotation),
        fetch,
        (otext(), otext()).prop_map(|(userid, filename)| Get::FetchSieve { userid, filename }),
        unknown().prop_map(Get::Unknown),
    ]
    .boxed()
}

fn apply() -> BoxedStrategy<Apply> {
    let one = prop_oneof![
        (otext(), texts(), of(vec(guid(), 0..4))).prop_map(|(partition, mboxnames, guids)| {
            Apply::Reserve(Reserve {
                partition,
                mboxnames,
                guids,
            })
        }),
        (otext(), otext(), of(vec(any::<u32>(), 0..4))).prop_map(|(mboxname, uniqueid, uids)| {
            Apply::Expunge {
                mboxname,
                uniqueid,
                uids,
            }
        }),
        (otext(), otext(), otext(), of(any::<u32>()), any::<bool>()).prop_map(
            |(oldmboxname, newmboxname, partition, uidvalidity, local)| Apply::Rename {
                oldmboxname,
                newmboxname,
                partition,
                uidvalidity,
                local
            }
        ),
        (otext(), any::<bool>()).prop_map(|(mboxname, local)| Apply::Unmailbox { mboxname, local }),
        (otext(), any::<bool>()).prop_map(|(userid, local)| Apply::Unuser { userid, local }),
        (otext(), otext()).prop_map(|(mboxname, userid)| Apply::Sub { mboxname, userid }),
        (otext(), otext()).prop_map(|(mboxname, userid)| Apply::Unsub { mboxname, userid }),
        seen(otext()).prop_map(Apply::Seen),
    ];
    let two = prop_oneof![
        quota().prop_map(Apply::Quota),
        otext().prop_map(|root| Apply::Unquota { root }),
        (otext(), otext(), of(any::<i64>()), otext()).prop_map(|(userid, filename, last_update, content)| {
            Apply::Sieve {
                userid,
                filename,
                last_update,
                content,
            }
        }),
        (otext(), otext()).prop_map(|(userid, filename)| Apply::Unsieve { userid, filename }),
        (otext(), otext()).prop_map(|(userid, filename)| Apply::ActivateSieve { userid, filename }),
        otext().prop_map(|userid| Apply::UnactivateSieve { userid }),
        (otext(), otext(), otext(), otext()).prop_map(|(mboxname, entry, userid, value)| Apply::Annotation {
            mboxname,
            entry,
            userid,
            value
        }),
        (otext(), otext(), otext()).prop_map(|(mboxname, entry, userid)| Apply::Unannotation {
            mboxname,
            entry,
            userid
        }),
        Just(Apply::Force),
        texts().prop_map(Apply::Capabilities),
        unknown().prop_map(Apply::Unknown),
    ];
    prop_oneof![one, two].boxed()
}

pub fn command() -> BoxedStrategy<Command> {
    let mechanism = "[A-Z0-9_-]{1,12}".prop_map(Text::from);
    let base64 = of("[A-Za-z0-9+/]{1,20}=?".prop_map(Text::from));
    prop_oneof![
        1 => prop_oneof![Just(Command::Noop), Just(Command::Exit), Just(Command::Restart), Just(Command::StartTls)],
        1 => (mechanism, base64).prop_map(|(mechanism, initial)| Command::Authenticate { mechanism, initial }),
        1 => word().prop_map(|algorithm| Command::Compress { algorithm }),
        1 => "[A-Z]{1,3}[0-9]{1,3}".prop_map(|tag| Command::TaggedProbe { tag: Text::from(tag) }),
        1 => unknown().prop_map(Command::RestoreUnknown),
        6 => get().prop_map(Command::Get),
        12 => apply().prop_map(Command::Apply),
    ]
    .boxed()
}

pub fn file_head(size: usize) -> BoxedStrategy<FileHead> {
    (text(), guid())
        .prop_map(move |(partition, guid)| FileHead {
            partition,
            guid,
            size: size as u64,
        })
        .boxed()
}

/// A file with its bytes.
pub fn file() -> BoxedStrategy<(FileHead, Vec<u8>)> {
    vec(any::<u8>(), 0..40)
        .prop_flat_map(|bytes| (file_head(bytes.len()), Just(bytes)))
        .boxed()
}

pub fn streaming_mailbox() -> BoxedStrategy<Streaming> {
    (mailbox_line(), any::<bool>(), any::<bool>())
        .prop_map(|(line, local, restore)| {
            if restore {
                Streaming::Restore { line, local }
            } else {
                Streaming::Mailbox { line, local }
            }
        })
        .boxed()
}

pub fn data() -> BoxedStrategy<Data> {
    let capability = "[A-Z]{1,4}-[A-Z]{1,10}".prop_map(Text::from);
    let argument = "[A-Z0-9-]{1,8}".prop_map(Text::from);
    let sieve = (
        otext(),
        otext(),
        of(any::<i64>()),
        of(guid()),
        any::<bool>(),
        otext(),
    )
        .prop_map(|(userid, filename, last_update, guid, isactive, content)| Sieve {
            userid,
            filename,
            last_update,
            guid,
            isactive,
            content,
        });
    prop_oneof![
        (capability, vec(argument, 0..3)).prop_map(|(name, arguments)| Data::Capability { name, arguments }),
        words().prop_map(Data::Banner),
        vec(text(), 0..3).prop_map(Data::Enabled),
        mailbox_line().prop_map(|mut line| {
            line.has_records = false;
            Data::Mailbox(line)
        }),
        quota().prop_map(Data::Quota),
        seen(otext()).prop_map(Data::Seen),
        vec(text(), 0..4).prop_map(Data::Lsub),
        sieve.prop_map(Data::Sieve),
        (otext(), otext(), otext(), otext()).prop_map(|(mboxname, entry, userid, value)| Data::Annotation {
            mboxname,
            entry,
            userid,
            value
        }),
        vec(guid(), 0..4).prop_map(Data::Missing),
        Just(Data::MessageNil),
        unknown().prop_map(Data::Unknown),
    ]
    .boxed()
}

/// Text of a line of words: not empty, no line ends, no code by accident.
fn words() -> BoxedStrategy<Text> {
    "[!-~][ -~]{0,20}".prop_map(Text::from).boxed()
}

pub fn final_line() -> BoxedStrategy<Final> {
    let code = (0..Code::WORDS.len()).prop_map(|i| Code::WORDS[i].0.clone());
    prop_oneof![
        words().prop_map(Final::Ok),
        words().prop_map(Final::Bad),
        words().prop_map(Final::Bye),
        words().prop_map(|text| Final::No(Code::Other, text)),
        (code, prop_oneof![Just(Text::EMPTY), words()]).prop_map(|(code, text)| Final::No(code, text)),
        "[A-Za-z0-9+/]{0,20}".prop_map(|text| Final::Continue(Text::from(text))),
    ]
    .boxed()
}

pub fn streaming_data() -> BoxedStrategy<StreamingData> {
    mailbox_line()
        .prop_map(|mut line| {
            line.has_records = true;
            StreamingData::Mailbox(line)
        })
        .boxed()
}

/// A value of the grammar without files, at most four lists deep.
pub fn value() -> BoxedStrategy<Value<'static>> {
    let leaf = prop_oneof![
        1 => Just(Value::Nil),
        6 => bytes().prop_map(|bytes| Value::Text(bytes.into())),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let pair = (bytes(), inner.clone()).prop_map(|(key, value)| (key.into(), value));
        prop_oneof![
            vec(inner, 0..5).prop_map(Value::List),
            vec(pair, 0..5).prop_map(Value::KvList),
        ]
    })
    .boxed()
}

/// One of the many ways to write a value; `choices` are used up one by one, an empty list meaning the plainest.
pub fn scribble(value: &Value<'_>, choices: &mut impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    match value {
        Value::Nil => out.extend_from_slice(b"NIL"),
        Value::Text(text) => scribble_text(text, false, choices, out),
        Value::List(items) => {
            out.push(b'(');
            for item in items {
                blanks(choices, out, true);
                scribble(item, choices, out);
            }
            blanks(choices, out, false);
            out.push(b')');
        }
        Value::KvList(pairs) => {
            out.extend_from_slice(b"%(");
            for (key, value) in pairs {
                blanks(choices, out, true);
                scribble_text(key, true, choices, out);
                blanks(choices, out, true);
                scribble(value, choices, out);
            }
            blanks(choices, out, false);
            out.push(b')');
        }
        Value::File(_) => {}
    }
}

fn blanks(choices: &mut impl Iterator<Item = u8>, out: &mut Vec<u8>, at_least_one: bool) {
    let some: &[u8] = match choices.next().unwrap_or(0) % 5 {
        0 | 1 if at_least_one => b" ",
        0 | 1 => b"",
        2 => b"  ",
        3 => b"\t",
        _ => b" \x0b\x0c ",
    };
    out.extend_from_slice(some);
}

fn scribble_text(text: &[u8], is_key: bool, choices: &mut impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    let ends_atom = |byte: &u8| matches!(byte, 0 | b'\t'..=b'\r' | b' ' | b'(' | b')' | b'"');
    let starts_badly = |byte: &u8| matches!(byte, b'{' | 0x80..) || (!is_key && *byte == b'%');
    let is_atom = !text.is_empty()
        && !text.iter().any(ends_atom)
        && !starts_badly(&text[0])
        && (is_key || text != b"NIL");
    let is_quotable = !text.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n'));
    match choices.next().unwrap_or(0) % 4 {
        0 if is_atom => out.extend_from_slice(text),
        0 | 1 if is_quotable => {
            out.push(b'"');
            for &byte in text {
                if matches!(byte, b'"' | b'\\') || choices.next().unwrap_or(0) % 7 == 6 {
                    out.push(b'\\');
                }
                out.push(byte);
            }
            out.push(b'"');
        }
        choice => {
            let plus = if choice == 3 { "+" } else { "" };
            out.extend_from_slice(format!("{{{}{plus}}}\r\n", text.len()).as_bytes());
            out.extend_from_slice(text);
        }
    }
}
