//! `compare` when it cannot compare; that it does is shown against real servers in the conformance suite.

mod common;

use common::Place;

#[test]
fn a_replica_that_is_not_there() {
    let place = Place::new();
    place.append("jane", "INBOX", "Subject: one\n\nfirst\n");
    // A port that nobody listens on: it was just given back.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("its address").to_string();
    drop(free);
    let said = place.run(&["compare", &address, "jane"]);
    assert_eq!(said.code, 75, "{}", said.err);
    assert!(said.err.contains("cannot connect"), "{}", said.err);
}

#[test]
fn what_is_missing_is_named() {
    let place = Place::new();
    let nobody = place.run(&["compare"]);
    assert_eq!(nobody.code, 2);
    assert!(nobody.err.contains("HOST USER"), "{}", nobody.err);
    let both = place.run(&["compare", "-A", "127.0.0.1:2005", "jane"]);
    assert_eq!(both.code, 2);
    assert!(both.err.contains("name users or give -A"), "{}", both.err);
    let no_store = place.run(&["compare", "127.0.0.1:2005", "jane"]);
    assert_eq!(no_store.code, 66);
    assert!(no_store.err.contains("there is no store"), "{}", no_store.err);
    let channel = place.run(&["compare", "--channel", "far", "jane"]);
    assert_eq!(channel.code, 78);
    assert!(channel.err.contains("far_sync_host"), "{}", channel.err);
}
