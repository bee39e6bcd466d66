//! What a port tells the machine behind it.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use engine::flow::{Decoder, Input, Machine, Now, OUTPUT_BYTES_HIGH, Output, Port};
use protocol::encode::LiteralStyle;

/// Every byte is an event.
#[derive(Default)]
struct Each(Vec<u8>);

impl Decoder for Each {
    type Event = u8;

    fn push(&mut self, bytes: Bytes) {
        self.0.extend_from_slice(&bytes);
    }

    fn next_event(&mut self) -> Option<u8> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }

    fn take_buffered(&mut self) -> Bytes {
        std::mem::take(&mut self.0).into()
    }
}

/// Runs `work` once, when its first byte has come.
fn at_a_byte<T: Send + 'static>(
    given: &'static [u8],
    work: impl FnOnce(&Port<Each>) -> T + Send + 'static,
) -> T {
    let result = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&result);
    let mut machine = Machine::new(Each::default(), LiteralStyle::Server, move |port| async move {
        if port.event(false).await.is_ok() {
            *kept.lock().expect("no panic") = Some(work(&port));
        }
    });
    machine.handle(Now(1), Input::Bytes(Bytes::from_static(given)));
    while !matches!(machine.poll(), Output::Closed) {}
    let mut result = result.lock().expect("no panic");
    result.take().expect("the machine came to its work")
}

#[test]
fn what_moved_is_counted_once_each_time() {
    let (before, after) = at_a_byte(b"x", |port| {
        let before = port.moves();
        port.moved();
        port.moved();
        (before, port.moves())
    });
    assert_eq!((before, after), (1, 3));
}

#[test]
fn bytes_that_wait_to_be_decoded_are_heard() {
    assert_eq!(at_a_byte(b"four", Port::heard_bytes), 4);
}

#[test]
fn there_is_room_until_much_waits_to_be_sent() {
    let polls = at_a_byte(b"x", |port| {
        let little = port.poll_room().is_ready();
        port.send_bytes(Bytes::from(vec![0; OUTPUT_BYTES_HIGH - 1]));
        let nearly = port.poll_room().is_ready();
        port.encode(|encoder| encoder.raw(b"x"));
        (little, nearly, port.poll_room().is_ready())
    });
    assert_eq!(polls, (true, true, false));
}
