//! Message bytes: staged, stored, reserved.

use engine::name::Scope;
use engine::ticket::{Change, Reply, Request, StagePart, StoreError};
use protocol::Guid;

use crate::common::*;
use crate::{Bench, INBOX};

pub fn large_messages_are_read_in_parts(bench: &Bench) {
    let mut client = bench.client();
    let scope = user("jane");
    let chunk = 256 * 1024;
    let pattern = |len: usize| (0..len).map(|at| (at * 31 % 251) as u8).collect::<Vec<u8>>();
    for len in [chunk - 1, chunk, chunk + 1, 2 * chunk, 3 * chunk + 77] {
        let data = pattern(len);
        client.stage(&data);
        let ranges = [
            (0, 10),
            (0, u32::MAX),
            (chunk - 3, 7),
            (len - 1, 5),
            (len, 5),
            (len + 5, 5),
            (0, 0),
            (100, 2 * chunk as u32),
        ];
        let check = |client: &mut Client| {
            for (offset, len_max) in ranges {
                let (size, part) = client
                    .part(scope.clone(), guid(&data), offset as u64, len_max)
                    .expect("reads");
                let end = offset.saturating_add(len_max as usize).min(len);
                let expected = data.get(offset..end).unwrap_or_default();
                assert_eq!(size, len as u64);
                assert!(
                    part == expected,
                    "{len} bytes, from {offset}, {len_max} asked, {} got",
                    part.len()
                );
            }
            assert_eq!(
                client.message(scope.clone(), guid(&data)).as_deref(),
                Some(&data[..])
            );
        };
        check(&mut client);
        let put = vec![
            put_mailbox(INBOX, "u1"),
            put_records("u1", vec![record(len as u32, 1, &data)]),
        ];
        client.transact(scope.clone(), put);
        client.done(Request::ForgetStaged);
        check(&mut client);
    }
}

pub fn batches_of_messages_stop_at_the_limit(bench: &Bench) {
    let mut client = bench.client();
    let scope = user("jane");
    let [a, b, c] = [&b"aaaaaaaaaa"[..], b"bbbbb", b"cc"];
    [a, b, c].iter().for_each(|data| client.stage(data));
    let stored = vec![record(1, 1, a), record(2, 1, b)];
    client.transact(
        scope.clone(),
        vec![put_mailbox(INBOX, "u1"), put_records("u1", stored)],
    );
    let guids = vec![guid(a), guid(b"?"), guid(b), guid(c)];
    let mut lens = |bytes_max| -> Vec<Option<usize>> {
        let found = client.messages(scope.clone(), guids.clone(), bytes_max);
        found
            .iter()
            .map(|message| message.as_ref().map(|data| data.len()))
            .collect()
    };
    assert_eq!(lens(100), [Some(10), None, Some(5), Some(2)]);
    assert_eq!(lens(17), [Some(10), None, Some(5), Some(2)]);
    assert_eq!(lens(16), [Some(10), None, Some(5)]);
    assert_eq!(lens(14), [Some(10), None]);
    assert_eq!(lens(10), [Some(10), None]);
    assert_eq!(lens(1), [Some(10)]);
    assert_eq!(client.messages(scope, vec![], 10), []);
}

pub fn staged_messages_can_be_read_and_forgotten(bench: &Bench) {
    let mut client = bench.client();
    client.stage(b"staged");
    let (size, part) = client.part(user("jane"), guid(b"staged"), 2, 3).expect("reads");
    assert_eq!((size, &part[..]), (6, &b"age"[..]));
    assert_eq!(
        client.message(Scope::Shared, guid(b"staged")).as_deref(),
        Some(&b"staged"[..])
    );
    assert_eq!(bench.client().message(Scope::Shared, guid(b"staged")), None);
    assert_eq!(
        client.reserve(&[], vec![guid(b"staged"), guid(b"?")]),
        [guid(b"?")]
    );
    client.done(Request::ForgetStaged);
    assert_eq!(client.message(Scope::Shared, guid(b"staged")), None);
    assert_eq!(client.reserve(&[], vec![guid(b"staged")]), [guid(b"staged")]);
}

pub fn refused_messages_are_reported(bench: &Bench) {
    let mut client = bench.client();
    let mut parts = upload(b"good");
    let StagePart::Open { guid: announced, .. } = &mut parts[0] else {
        panic!("opens")
    };
    *announced = guid(b"other");
    parts.extend(upload(b"fine"));
    let refused = engine::ticket::RefusedMessage {
        announced: guid(b"other"),
        actual: guid(b"good"),
    };
    assert_eq!(
        client.ask(Request::Stage(parts)),
        Ok(Reply::Staged {
            refused: vec![refused]
        })
    );
    for absent in [guid(b"other"), guid(b"good")] {
        assert_eq!(client.message(Scope::Shared, absent), None);
    }
    assert!(client.message(Scope::Shared, guid(b"fine")).is_some());
    let out_of_order = client.ask(Request::Stage(vec![StagePart::Close]));
    assert!(matches!(out_of_order, Err(StoreError::Misuse { .. })));
}

/// A message of `joe`, for others to reserve.
fn joe_has(client: &mut Client, data: &[u8]) {
    client.stage(data);
    client.transact(
        user("joe"),
        vec![
            put_mailbox("user.joe", "j1"),
            put_records("j1", vec![record(1, 1, data)]),
        ],
    );
    client.done(Request::ForgetStaged);
}

pub fn reserve_finds_messages_of_other_scopes(bench: &Bench) {
    let mut client = bench.client();
    let big = vec![7u8; 600_000];
    joe_has(&mut client, &big);
    assert_eq!(
        client.reserve(&["user.jane", "news"], vec![guid(&big)]),
        [guid(&big)]
    );
    let wanted = vec![guid(b"?"), guid(&big), Guid::NULL];
    assert_eq!(
        client.reserve(&["user.jane", "user.joe.Sent"], wanted),
        [guid(b"?"), Guid::NULL]
    );
    assert_eq!(
        client.message(user("jane"), guid(&big)).as_deref(),
        Some(&big[..])
    );
    let put = vec![
        put_mailbox(INBOX, "u1"),
        put_records("u1", vec![record(1, 1, &big)]),
    ];
    client.transact(user("jane"), put);
    client.done(Request::ForgetStaged);
    // A copy of its own: the first one may go.
    client.transact(user("joe"), vec![Change::ClearRecords { uniqueid: text("j1") }]);
    assert_eq!(client.message(user("joe"), guid(&big)), None);
    assert_eq!(
        client.message(user("jane"), guid(&big)).as_deref(),
        Some(&big[..])
    );
}

pub fn reserved_messages_may_vanish(bench: &Bench) {
    let mut client = bench.client();
    joe_has(&mut client, b"one");
    assert_eq!(client.reserve(&["user.joe"], vec![guid(b"one")]), []);
    bench
        .client()
        .transact(user("joe"), vec![Change::ClearRecords { uniqueid: text("j1") }]);
    client.begin(user("jane"));
    let put = vec![
        put_mailbox(INBOX, "u1"),
        put_records("u1", vec![record(1, 1, b"one")]),
    ];
    assert_eq!(
        client.write(put),
        Err(StoreError::NotStaged {
            uid: 1,
            guid: guid(b"one")
        })
    );
    client.done(Request::Rollback);
    // Asked for again, it is known to be gone.
    assert_eq!(client.reserve(&["user.jane"], vec![guid(b"one")]), [guid(b"one")]);
    // Uploaded after all.
    client.stage(b"one");
    let put = vec![
        put_mailbox(INBOX, "u1"),
        put_records("u1", vec![record(1, 1, b"one")]),
    ];
    client.transact(user("jane"), put);
}
