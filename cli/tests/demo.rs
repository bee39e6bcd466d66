//! `mailtwin demo`, the first thing anybody sees.

mod common;

use common::{Place, filters};

#[test]
fn shows_equal_twins() {
    let place = Place::new();
    let said = place.run(&["demo"]);
    let text = said.text();
    assert_eq!(said.code, 0, "{}{}", text, said.err);
    assert!(said.err.is_empty(), "{}", said.err);
    assert!(text.lines().count() <= 40, "fits a screen");
    for line in text.lines() {
        assert!(console::measure_text_width(line) <= 80, "fits 80 columns: {line}");
        assert!(!line.ends_with(' ') && !line.contains('…'), "{line:?}");
    }
    let mut settings = filters(&place);
    settings.add_filter(r" +\d+ ms", " [time]");
    settings.add_filter(r" +\d+\.\d\d s\b", " [time]");
    settings.add_filter(r" \d+ ms\.", " [time].");
    settings.add_filter(r"127\.0\.0\.1:\d+", "127.0.0.1:[port]");
    settings.add_filter(r"\d+\.\d kB on the wire", "[size] on the wire");
    settings.add_filter(r"\d+\.\d %", "[percent]");
    settings.add_filter(r"(\d)  [0-9a-f]{8}\b", "$1  [ crc  ]");
    settings.bind(|| insta::assert_snapshot!(text));
    let passing = std::fs::read_dir(place.dir()).expect("read").count();
    assert_eq!(passing, 1, "nothing is left beside the configuration");
}

#[test]
fn only_the_change_travels() {
    let place = Place::new();
    let text = place.run(&["demo"]).fine().text();
    let share = text
        .split("only the change travelled: ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let share: f64 = share.expect("a share").parse().expect("a number");
    assert!(share > 0.0 && share < 10.0, "{share} %");
}

#[test]
fn fails_when_the_twins_differ() {
    let place = Place::new();
    let said = place.run(&["demo", "--sabotage"]);
    assert_eq!(said.code, 1);
    let text = said.text();
    assert!(text.contains("The twins differ"), "{text}");
    assert!(text.contains("message 1 of jane/INBOX: flags differ"), "{text}");
    assert!(
        text.lines()
            .any(|line| line.contains("jane/INBOX") && line.ends_with('✗')),
        "{text}"
    );
    assert!(!text.contains("are equal"));
    assert!(said.err.contains("not equal"), "{}", said.err);
}

#[test]
fn keeps_the_stores_on_request() {
    let place = Place::new();
    let text = place.run(&["demo", "--dir", "kept"]).fine().text();
    assert!(text.contains("Look further"), "{text}");
    for twin in ["master", "replica"] {
        let conf = format!("kept/{twin}.conf");
        let listed = place.run(&["-C", &conf, "list", "jane"]).fine().text();
        assert!(
            listed.contains("Projects/East Tower") && !listed.contains("Lighthouse"),
            "{listed}"
        );
        let _ = place.run(&["-C", &conf, "verify"]).fine();
    }
    let ours = place
        .run(&["-C", "kept/master.conf", "cat", "jane/INBOX", "5"])
        .fine()
        .out;
    let theirs = place
        .run(&["-C", "kept/replica.conf", "cat", "jane/INBOX", "5"])
        .fine()
        .out;
    assert!(!ours.is_empty() && ours == theirs);
    assert_eq!(
        place.run(&["demo", "--dir", "kept"]).code,
        73,
        "never over something"
    );
}
