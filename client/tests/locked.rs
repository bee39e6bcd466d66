//! A user to whom another program is writing: told, and nobody else waits. [CS-OPS-2]

#[allow(dead_code, reason = "other tests use more of it")]
mod twin;

use engine::name::Scope;
use engine::ticket::{Request, Session};
use protocol::Text;
use twin::{Master, Replica, deliver_into, show};

#[test]
fn a_locked_user_fails_and_the_others_are_done() {
    let replica = Replica::start();
    let mut master = Master::of(&replica);
    let users = ["bob", "jane", "omar"];
    for user in users {
        master.deliver(user, "a common past");
    }
    assert_eq!(master.run(&["-A"]).0, Some(0));
    // Mail that only the replica has comes here, so each of them has to be written.
    for user in users {
        deliver_into(&replica.store(), 1_800_000_000, user, "came there", "default");
    }
    let mut other = master.store.session();
    let scope = Scope::User(Text::from("jane"));
    other.execute(Request::Begin { scope }).expect("the lock");
    for arguments in [
        &["-A", "-N"][..],
        &["-u", "bob", "jane", "omar", "-N"],
        &["-A", "-N", "-j", "3"],
    ] {
        let (code, _, said) = master.run(arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
        assert!(
            said.contains("sync_client: jane: user jane is in use by another"),
            "{arguments:?}: {said}"
        );
        assert!(
            !said.contains("sync_client: bob:") && !said.contains("sync_client: omar:"),
            "{arguments:?}: {said}"
        );
    }
    for user in ["bob", "omar"] {
        assert_eq!(show(&master.store, user), show(&replica.store(), user));
    }
    assert_ne!(show(&master.store, "jane"), show(&replica.store(), "jane"));

    other.execute(Request::Rollback).expect("given back");
    let (code, _, said) = master.run(&["-A", "-N"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(show(&master.store, "jane"), show(&replica.store(), "jane"));
}
