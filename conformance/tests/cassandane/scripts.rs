//! Sieve scripts and subscriptions.

use crate::chain::{Chain, Outcome};
use conformance::compare::{self, Scope};
use conformance::cyrus::Setup;
use conformance::population::{activate_script, put_script};

const OLD_SCRIPT: &str = "require [\"reject\"];\r\nif header :is \"x\" \"old\" { reject \"old\"; }\r\n";
const NEW_SCRIPT: &str = "require [\"reject\"];\r\nif header :is \"x\" \"new\" { reject \"new\"; }\r\n";

/// The users: scripts here alone; equal on all sides; on the replicas alone; another name there; an older text there.
type Users = [&'static str; 5];

const USERS: Users = ["ann", "both", "cleo", "dora", "emil"];
const DOTTED: Users = ["ann.a", "both.b", "cleo.c", "dora.d", "emil.e"];

struct Place {
    unix_hierarchy_sep: bool,
    unix_socket: bool,
    users: Users,
}

/// Subscriptions, one of them to a mailbox that is deleted afterwards, go with the users.
fn subscriptions(chain: &Chain, users: &Users) -> Outcome {
    let separator = chain.separator();
    for user in users {
        let folders = [
            "Test".to_owned(),
            format!("Test{separator}Sub"),
            "Test Foo".to_owned(),
            "Test Bar".to_owned(),
        ];
        let mut imap = chain.create(user, &folders.each_ref().map(String::as_str))?;
        imap.subscribe("INBOX")?;
        for folder in &folders[..3] {
            imap.subscribe(&format!("INBOX{separator}{folder}"))?;
        }
        imap.delete(&format!("INBOX{separator}Test{separator}Sub"))?;
    }
    chain.carry(&["-A"])?;
    chain.equal(users)?;
    for user in users {
        let found = chain.far.imap(user)?.simple("LSUB \"\" \"*\"")?.values()?;
        let names: Vec<String> = found
            .iter()
            .filter_map(|line| Some(line.last()?.text()))
            .collect();
        assert!(names.contains(&format!("INBOX{separator}Test Foo")), "{names:?}");
        assert!(!names.contains(&format!("INBOX{separator}Test Bar")), "{names:?}");
    }
    Ok(())
}

/// Puts the scripts where they are before the run.
fn plant(chain: &Chain, place: &Place) -> Outcome {
    let [here, both, there, different, stale] = place.users;
    let (mut hand, mut twin, mut far) = (chain.hand.csync()?, chain.twin.csync()?, chain.far.csync()?);
    for (user, text) in [
        (here, OLD_SCRIPT),
        (both, OLD_SCRIPT),
        (different, OLD_SCRIPT),
        (stale, NEW_SCRIPT),
    ] {
        put_script(&mut hand, user, "test1", text)?;
        activate_script(&mut hand, user, "test1")?;
    }
    // With SIEVE-MAILBOX a Cyrus replica has mailboxes of its own for these, and no master could ever change them.
    let replicas = if place.unix_socket {
        vec![&mut twin, &mut far]
    } else {
        vec![&mut twin]
    };
    for csync in replicas {
        for (user, name) in [
            (both, "test1"),
            (there, "test1"),
            (different, "test2"),
            (stale, "test1"),
        ] {
            put_script(csync, user, name, OLD_SCRIPT)?;
            activate_script(csync, user, name)?;
        }
    }
    Ok(())
}

fn scripts_and_subscriptions(test: &str, place: &Place) -> Outcome {
    let change = |mut setup: Setup| {
        setup.unix_hierarchy_sep = place.unix_hierarchy_sep;
        setup
    };
    let users = place.users;
    let Some(chain) = Chain::start_over(test, &users, place.unix_socket, change)? else {
        return Ok(());
    };
    subscriptions(&chain, &users)?;
    plant(&chain, place)?;
    let [_, _, there, _, stale] = users;
    let gone = if place.unix_socket {
        [1, 1, 0, 1, 1]
    } else {
        // The stock client looks at no scripts but those of its own mailboxes: what is here alone stays.
        chain.there(&["-A"])?.success("the stock client")?;
        let left = chain
            .twin
            .mailtwin(&["sieve", "list", there])?
            .success("sieve list")?;
        assert!(left.text().contains("test1"), "{}", left.text());
        chain
            .twin
            .mailtwin(&["sieve", "delete", there, "test1"])?
            .success("sieve delete")?;
        [1, 1, 0, 1, 1]
    };
    chain.carry(&["-A"])?;
    let scope = Scope {
        shared: false,
        sieve_mailbox: !place.unix_socket,
        ..Scope::all(&users)
    };
    chain.equal_in(&scope)?;
    let listed = Scope {
        sieve_mailbox: false,
        ..scope
    };
    chain.equal_here(&listed)?;
    let mut facts = compare::Facts::new();
    compare::collect_csync(&mut chain.far.csync()?, &listed, &[], &mut facts)?;
    let held = |user: &str| {
        let of = |place: &compare::Place| {
            place.object == format!("user {user}") && place.field.ends_with(".script CONTENT")
        };
        facts.keys().filter(|place| of(place)).count()
    };
    assert_eq!(users.map(held), gone);
    let new = |(place, value): (&compare::Place, &Vec<u8>)| {
        place.object == format!("user {stale}") && String::from_utf8_lossy(value).contains("reject \"new\"")
    };
    assert!(facts.iter().any(new), "the newer text");
    chain.equal_next(&users)
}

/// Over TCP scripts travel as messages of a mailbox.
#[test]
fn scripts_and_subscriptions_with_dots_between_levels() -> Outcome {
    let place = Place {
        unix_hierarchy_sep: false,
        unix_socket: false,
        users: USERS,
    };
    scripts_and_subscriptions("scripts_dots", &place)
}

#[test]
fn scripts_and_subscriptions_with_dots_in_names() -> Outcome {
    let place = Place {
        unix_hierarchy_sep: true,
        unix_socket: false,
        users: DOTTED,
    };
    scripts_and_subscriptions("scripts_unixhs", &place)
}

/// Over a Unix socket they travel by commands.
#[test]
fn scripts_by_commands_with_dots_between_levels() -> Outcome {
    let place = Place {
        unix_hierarchy_sep: false,
        unix_socket: true,
        users: USERS,
    };
    scripts_and_subscriptions("commands_dots", &place)
}

#[test]
fn scripts_by_commands_with_dots_in_names() -> Outcome {
    let place = Place {
        unix_hierarchy_sep: true,
        unix_socket: true,
        users: DOTTED,
    };
    scripts_and_subscriptions("commands_unixhs", &place)
}
