//! The protocol alone: file literals, `RECORD` lists, lines; read and written.
//!
//! `cargo bench -p benches --bench protocol`. Aims on one core: file literals at 2 GB/s, `RECORD` lists to typed
//! records at 300 MB/s.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use protocol::command::{FileHead, Streaming};
use protocol::decode::{CommandDecoder, CommandEvent, ReplyDecoder, ReplyEvent};
use protocol::encode::{Encoder, LiteralStyle};
use protocol::response::StreamingData;
use protocol::{Annotation, Flags, Guid, Limits, MailboxLine, Record, SystemFlags, Text};

/// What a socket gives at once.
const CHUNK_BYTES: usize = 64 << 10;
const RECORDS: u32 = 10_000;

fn record(uid: u32) -> Record {
    let value = |entry, value: String| Annotation {
        entry: Text::from_static(entry),
        userid: Text::EMPTY,
        modseq: 0,
        value: Text::from(value),
    };
    let mut guid = [0u8; 20];
    for (i, byte) in guid.iter_mut().enumerate() {
        *byte = (uid.wrapping_mul(2_654_435_761) >> (i % 24)) as u8;
    }
    Record {
        uid,
        modseq: 1_000 + u64::from(uid),
        last_updated: 1_795_416_989,
        flags: Flags {
            system: SystemFlags::SEEN,
            keywords: vec![Text::from_static(b"$Label1")],
        },
        internaldate: 1_577_872_800 + i64::from(uid),
        size: 12_000 + u64::from(uid),
        guid: Guid::from_bytes(guid),
        annotations: vec![
            value(
                Annotation::THRID,
                format!("{:016x}", u64::from(uid).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            ),
            value(Annotation::SAVEDATE, "1795416989".to_owned()),
            value(Annotation::CREATEDMODSEQ, uid.to_string()),
        ],
    }
}

fn mailbox() -> Box<MailboxLine> {
    Box::new(MailboxLine {
        uniqueid: Some(Text::from("lyj6hcfi8u3zykfxsg2ftyp1")),
        mboxname: Some(Text::from("user.alice")),
        has_records: true,
        ..MailboxLine::default()
    })
}

/// One `MAILBOX` line of many records.
fn records_line(style: LiteralStyle) -> Bytes {
    let mut encoder = Encoder::new(style);
    match style {
        LiteralStyle::Client => encoder.begin(&Streaming::Mailbox {
            line: mailbox(),
            local: false,
        }),
        LiteralStyle::Server => encoder.begin_data(&StreamingData::Mailbox(mailbox())),
    }
    for uid in 1..=RECORDS {
        encoder.record(&record(uid));
    }
    encoder.end();
    encoder.take()
}

fn chunks(bytes: &Bytes) -> Vec<Bytes> {
    (0..bytes.len())
        .step_by(CHUNK_BYTES)
        .map(|at| bytes.slice(at..bytes.len().min(at + CHUNK_BYTES)))
        .collect()
}

/// How many events the chunks make.
fn decode_commands(chunks: &[Bytes]) -> usize {
    let mut decoder = CommandDecoder::new(Limits::default());
    let mut events = 0;
    for chunk in chunks {
        decoder.push(chunk.clone());
        loop {
            match black_box(decoder.poll()) {
                CommandEvent::NeedMore => break,
                CommandEvent::Bad(fault) | CommandEvent::Fatal(fault) => panic!("{fault}"),
                _ => events += 1,
            }
        }
    }
    events
}

fn files(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("file literals");
    for (name, size, count) in [("12 kB each", 12_000, 2_000), ("16 MiB each", 16 << 20, 2)] {
        let mut encoder = Encoder::new(LiteralStyle::Client);
        encoder.begin(&Streaming::Message);
        let body = vec![b'x'; size];
        let head = FileHead {
            partition: Text::from_static(b"default"),
            guid: Guid::NULL,
            size: size as u64,
        };
        for _ in 0..count {
            encoder.file(&head);
            encoder.raw(&body);
        }
        encoder.end();
        let line = encoder.take();
        let chunks = chunks(&line);
        group.throughput(Throughput::Bytes(line.len() as u64));
        group.bench_function(format!("decode, {name}"), |b| b.iter(|| decode_commands(&chunks)));
    }
    group.finish();
}

fn records(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("RECORD lists");
    let line = records_line(LiteralStyle::Client);
    group.throughput(Throughput::Bytes(line.len() as u64));
    let pieces = chunks(&line);
    group.bench_function("decode APPLY MAILBOX", |b| {
        b.iter(|| assert_eq!(decode_commands(&pieces), RECORDS as usize + 2));
    });
    let line = records_line(LiteralStyle::Server);
    let pieces = chunks(&line);
    group.bench_function("decode * MAILBOX", |b| {
        b.iter(|| {
            let mut decoder = ReplyDecoder::new(Limits::default());
            for piece in &pieces {
                decoder.push(piece.clone());
                while black_box(decoder.poll()) != ReplyEvent::NeedMore {}
            }
        });
    });
    let all: Vec<Record> = (1..=RECORDS).map(record).collect();
    group.bench_function("encode", |b| {
        let mut encoder = Encoder::new(LiteralStyle::Client);
        b.iter(|| {
            encoder.begin(&Streaming::Mailbox {
                line: mailbox(),
                local: false,
            });
            for record in &all {
                encoder.record(record);
            }
            encoder.end();
            black_box(encoder.take())
        });
    });
    group.finish();
}

fn lines(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("lines");
    let mut reserve =
        b"APPLY RESERVE %(PARTITION default MBOXNAME (user.alice user.alice.Sent) GUID (".to_vec();
    for uid in 1..=1_024u32 {
        reserve.extend_from_slice(&record(uid).guid.to_hex());
        reserve.push(b' ');
    }
    reserve.extend_from_slice(b"))\r\n");
    for (name, line) in [
        ("GET USER", &b"GET USER alice\r\n"[..]),
        ("RESERVE of 1024", &reserve),
    ] {
        let line = Bytes::copy_from_slice(line);
        group.throughput(Throughput::Bytes(line.len() as u64));
        let pieces = chunks(&line);
        group.bench_function(name, |b| b.iter(|| decode_commands(&pieces)));
    }
    group.finish();
}

criterion_group!(benches, files, records, lines);
criterion_main!(benches);
