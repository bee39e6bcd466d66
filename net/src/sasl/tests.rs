//! Both sides against each other, and the server against what a stranger may send.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::secret::Secret;

struct Users(BTreeMap<(String, Hash), Verifier>);

impl Verifiers for Users {
    fn verifier(&self, user: &str, hash: Hash) -> Result<Option<Verifier>, String> {
        Ok(self.0.get(&(user.to_owned(), hash)).cloned())
    }
}

fn server(mechanisms: &[&str]) -> ServerSasl {
    let mut users = BTreeMap::new();
    for (name, password) in [("backup", "pencil"), ("jane", "p\u{e4}per"), ("a,b=c", "x")] {
        for hash in Hash::ALL {
            let verifier = derive(hash, &Secret::new(password), 4096).expect("a verifier");
            users.insert((name.to_owned(), hash), verifier);
        }
    }
    let names = mechanisms.iter().map(|&name| name.to_owned()).collect();
    ServerSasl::new(
        Arc::new(Users(users)),
        Arc::from(["backup".to_owned(), "a,b=c".to_owned()]),
        names,
    )
}

fn client(user: &str, password: &str) -> ClientSasl {
    client_with(user, password, true)
}

fn client_with(user: &str, password: &str, allow_plain: bool) -> ClientSasl {
    let (user, password) = (user.to_owned(), Secret::new(password));
    ClientSasl::new(Some(Credentials {
        user,
        password,
        mechanisms: Vec::new(),
        allow_plain,
    }))
}

/// Lets both talk until the server decides; the client's last word is what it says to the server's OK.
fn login(mechanism: &str, client: &mut ClientSasl) -> (SaslReply, Option<SaslReply>) {
    let mut server = server(&[mechanism]);
    let chosen = client.step(SaslRequest::Choose {
        offered: vec![mechanism.to_owned()],
    });
    let SaslReply::Chosen { mechanism, initial } = chosen else {
        panic!("{chosen:?}")
    };
    let mut reply = server.step(SaslRequest::Start { mechanism, initial });
    for _ in 0..5 {
        match reply {
            SaslReply::Send(challenge) => match client.step(SaslRequest::Step(challenge)) {
                SaslReply::Send(data) => reply = server.step(SaslRequest::Step(data)),
                other => return (reply_after_cancel(), Some(other)),
            },
            SaslReply::Success { last, admin, user } => {
                if let Some(last) = last.clone() {
                    assert_eq!(client.step(SaslRequest::Step(last)), SaslReply::Send(encode(b"")));
                }
                let verdict = client.step(SaslRequest::Abort);
                return (
                    SaslReply::Success {
                        last: None,
                        admin,
                        user,
                    },
                    Some(verdict),
                );
            }
            other => return (other, None),
        }
    }
    panic!("the exchange does not end");
}

fn reply_after_cancel() -> SaslReply {
    failure("cancelled")
}

#[test]
fn right_passwords_are_taken() {
    for mechanism in ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"] {
        for (user, password, admin) in [
            ("backup", "pencil", true),
            ("jane", "p\u{e4}per", false),
            ("jane", "pa\u{308}per", false),
            ("a,b=c", "x", true),
        ] {
            let (reply, verdict) = login(mechanism, &mut client(user, password));
            let success = SaslReply::Success {
                admin,
                user: user.to_owned(),
                last: None,
            };
            assert_eq!(reply, success, "{mechanism} {user}");
            assert!(
                matches!(verdict, Some(SaslReply::Success { .. })),
                "{mechanism}: {verdict:?}"
            );
        }
    }
}

#[test]
fn wrong_passwords_and_unknown_users_look_the_same() {
    for mechanism in ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"] {
        for (user, password) in [("backup", "pencil2"), ("nobody", "pencil"), ("jane", "pencil")] {
            let (reply, verdict) = login(mechanism, &mut client(user, password));
            assert_eq!(
                (reply, verdict),
                (failure("authentication failure"), None),
                "{mechanism} {user}"
            );
        }
    }
}

#[test]
fn acting_for_another_makes_no_administrator() {
    for (message, admin) in [
        ("\0backup\0pencil", true),
        ("backup\0backup\0pencil", true),
        ("jane\0backup\0pencil", false),
    ] {
        let initial = Some(encode(message.as_bytes()));
        let reply = server(&["PLAIN"]).step(SaslRequest::Start {
            mechanism: "plain".to_owned(),
            initial,
        });
        assert_eq!(
            reply,
            SaslReply::Success {
                admin,
                user: "backup".to_owned(),
                last: None
            }
        );
    }
}

#[test]
fn what_is_not_offered_is_refused() {
    let start = |mechanism: &str| SaslRequest::Start {
        mechanism: mechanism.to_owned(),
        initial: None,
    };
    let mut server = server(&["SCRAM-SHA-256"]);
    for name in ["PLAIN", "LOGIN", "SCRAM-SHA-512", "SCRAM-SHA-256-PLUS", "", "x y"] {
        assert_eq!(
            server.step(start(name)),
            failure("no mechanism available"),
            "{name}"
        );
    }
    assert_eq!(mechanisms(&[], true), ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]);
    assert_eq!(mechanisms(&[], false), ["SCRAM-SHA-256", "SCRAM-SHA-1"]);
    assert_eq!(
        mechanisms(&["PLAIN".to_owned(), "LOGIN".to_owned()], true),
        ["PLAIN"]
    );
}

#[test]
fn a_failed_attempt_may_be_repeated() {
    let mut server = server(&["PLAIN"]);
    let start = |data: &[u8]| SaslRequest::Start {
        mechanism: "PLAIN".to_owned(),
        initial: Some(encode(data)),
    };
    assert_eq!(
        server.step(start(b"\0backup\0wrong")),
        failure("authentication failure")
    );
    assert_eq!(
        server.step(SaslRequest::Step(encode(b"\0backup\0pencil"))),
        failure("bad protocol / cancel")
    );
    assert!(matches!(
        server.step(start(b"\0backup\0pencil")),
        SaslReply::Success { admin: true, .. }
    ));
}

#[test]
fn garbage_is_refused() {
    for mechanism in ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"] {
        for data in [
            &b"="[..],
            b"!!!",
            b"",
            b"AAAA",
            b"biws",
            b"biwsbj11c2VyLHI9",
            b"biwsbj0scj14",
            b"biws",
            b"bix4LG49",
            b"bixhLG49dSxyPXg=",
            b"LCxuPXUscj14",
        ] {
            let mut server = server(&[mechanism]);
            let start = SaslRequest::Start {
                mechanism: mechanism.to_owned(),
                initial: Some(Bytes::from_static(data)),
            };
            match server.step(start) {
                SaslReply::Failure { .. } => {}
                SaslReply::Send(_) => {
                    let reply = server.step(SaslRequest::Step(encode(b"c=biws,r=x,p=AAAA")));
                    assert!(
                        matches!(reply, SaslReply::Failure { .. }),
                        "{mechanism} {data:?}: {reply:?}"
                    );
                }
                other => panic!("{mechanism} {data:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn the_client_chooses_what_hides_the_password() {
    let offered = |names: &[&str]| SaslRequest::Choose {
        offered: names.iter().map(|&n| n.to_owned()).collect(),
    };
    let chosen = |reply| match reply {
        SaslReply::Chosen { mechanism, .. } => mechanism,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        chosen(client("u", "p").step(offered(&["PLAIN", "scram-sha-1", "LOGIN"]))),
        "SCRAM-SHA-1"
    );
    let SaslReply::Failure { text } = client_with("u", "p", false).step(offered(&["LOGIN", "PLAIN"])) else {
        panic!("sent in clear")
    };
    assert!(text.contains("mailtwin_allow_plaintext"), "{text}");
    let SaslReply::Failure { text } = client("u", "p").step(offered(&["GSSAPI"])) else {
        panic!("no common one")
    };
    insta::assert_snapshot!(text, @"no common mechanism: the server offers GSSAPI; this client knows SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1 PLAIN");
    let SaslReply::Failure { text } = ClientSasl::new(None).step(offered(&["PLAIN"])) else {
        panic!("no password")
    };
    assert!(text.contains("sync_password"), "{text}");
}

#[test]
fn the_client_demands_the_servers_proof() {
    let mut client = client("backup", "pencil");
    client.step(SaslRequest::Choose {
        offered: vec!["SCRAM-SHA-256".to_owned()],
    });
    assert!(
        matches!(client.step(SaslRequest::Abort), SaslReply::Failure { .. }),
        "OK without any proof"
    );
}

/// [CS-LIMIT-25]
#[test]
fn the_client_bounds_the_servers_rounds() {
    for (rounds, fine) in [
        (1, false),
        (4095, false),
        (4096, true),
        (1_000_000, true),
        (1_000_001, false),
    ] {
        let message = format!("r=abc,s=QSXCR+Q6sek8bf92,i={rounds}");
        assert_eq!(client::check_rounds(message.as_bytes()).is_ok(), fine, "{rounds}");
    }
}
