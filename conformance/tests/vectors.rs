//! The vectors of the spec against the judge's own reader, and against our `sync_server`.

use conformance::csync::dlist::{self, Value};
use conformance::csync::{Csync, crc};
use conformance::error_text as readable;
use conformance::programs::{self, Twin};
use conformance::vectors::{self, unescape};
use std::time::Duration;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn text(vector: &serde_json::Value, key: &str) -> String {
    vector[key].as_str().unwrap_or_default().to_owned()
}

fn input(vector: &serde_json::Value) -> Vec<u8> {
    unescape(&text(vector, "input"))
}

/// The value that a vector writes down as JSON.
fn expected(value: &serde_json::Value) -> Value {
    let bytes = |value: &serde_json::Value| unescape(value.as_str().unwrap_or_default());
    let string = |value: &serde_json::Value| String::from_utf8_lossy(&bytes(value)).into_owned();
    if let Some(text) = value.get("text") {
        Value::Text(bytes(text))
    } else if let Some(members) = value["list"].as_array() {
        Value::List(members.iter().map(expected).collect())
    } else if let Some(pairs) = value["kv"].as_array() {
        Value::Map(
            pairs
                .iter()
                .map(|pair| (string(&pair[0]), expected(&pair[1])))
                .collect(),
        )
    } else if let Some(file) = value.get("file") {
        let guid = string(&file["guid"]);
        let bytes = vectors::decode(file.get("data")).unwrap_or_default();
        Value::File {
            partition: string(&file["partition"]),
            guid,
            bytes,
        }
    } else {
        Value::Nil
    }
}

/// GUIDs may be written in either case.
fn lower_guids(value: Value) -> Value {
    match value {
        Value::File {
            partition,
            guid,
            bytes,
        } => Value::File {
            partition,
            guid: guid.to_ascii_lowercase(),
            bytes,
        },
        Value::List(members) => Value::List(members.into_iter().map(lower_guids).collect()),
        Value::Map(pairs) => Value::Map(
            pairs
                .into_iter()
                .map(|(key, value)| (key, lower_guids(value)))
                .collect(),
        ),
        other => other,
    }
}

#[test]
fn the_judge_reads_valid_lines_as_the_spec_says() -> Outcome {
    let all = vectors::lines("vectors/grammar-valid.jsonl")?;
    assert!(!all.is_empty());
    for vector in &all {
        let input = input(vector);
        let after_verb = input
            .iter()
            .position(|byte| b" \t".contains(byte))
            .ok_or("no blank")?
            + 1;
        let line = input
            .strip_suffix(b"\r\n")
            .or_else(|| input.strip_suffix(b"\n"))
            .ok_or("no line end")?;
        let (key, value) =
            dlist::read_named(&line[after_verb..]).map_err(|error| format!("{vector}: {error}"))?;
        assert_eq!(key.as_bytes(), unescape(&text(vector, "key")), "{vector}");
        assert_eq!(lower_guids(value), expected(&vector["value"]), "{vector}");
    }
    Ok(())
}

#[test]
fn the_judge_computes_the_crcs_of_the_spec() -> Outcome {
    let mut wrong = Vec::new();
    for vector in vectors::lines("vectors/crc.jsonl")? {
        if vector["kind"] != "string" {
            continue;
        }
        let computed = crc::crc32(&unescape(&text(&vector, "string")));
        if vector["crc"].as_u64() != Some(u64::from(computed)) {
            wrong.push(format!("{vector} but {computed}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Sends a line to our server and says goodbye; returns the final lines of all answers.
fn answers(twin: &Twin, input: Vec<u8>) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut csync: Csync = twin.csync()?;
    csync.limit(Duration::from_secs(5))?;
    let received = csync.flood([input.as_slice(), b"NOOP\r\n"].concat())?;
    let mut lines = Vec::new();
    let mut rest = received.as_slice();
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        if !rest.starts_with(b"* ") || rest.starts_with(b"* Fatal") {
            lines.push(String::from_utf8_lossy(&rest[..end]).into_owned());
        }
        rest = &rest[end + 2..];
    }
    Ok(lines)
}

#[test]
fn our_server_refuses_every_invalid_line_and_goes_on() -> Outcome {
    if !programs::usable("vectors_invalid") {
        return Ok(());
    }
    let mut twin = Twin::unix("twin", &[])?;
    twin.start()?;
    let mut wrong = Vec::new();
    for vector in vectors::lines("vectors/grammar-invalid.jsonl")? {
        let lines = answers(&twin, input(&vector)).map_err(|error| format!("{vector}: {error}"))?;
        let refused = lines.first().is_some_and(|line| line.starts_with("BAD "));
        let goes_on = lines.last().is_some_and(|line| line.starts_with("OK Noop"));
        // Octets of a size that has no end cannot be skipped: a reason, and a close [CS-EXC-3].
        let is_closed = vector["fault"] == "number-range"
            && lines.len() == 1
            && lines
                .first()
                .is_some_and(|line| line.starts_with("* Fatal error: "));
        if !(is_closed || refused && goes_on) {
            wrong.push(format!(
                "{} {} {} -> {lines:?}",
                text(&vector, "id"),
                text(&vector, "fault"),
                readable(&input(&vector), 100)
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} lines\n{}\n{}",
        wrong.len(),
        wrong.join("\n"),
        twin.log()
    );
    twin.stop()?;
    Ok(())
}

#[test]
fn our_server_reads_every_valid_line() -> Outcome {
    if !programs::usable("vectors_valid") {
        return Ok(());
    }
    let mut twin = Twin::unix("twin", &[])?;
    twin.start()?;
    let mut wrong = Vec::new();
    for vector in vectors::lines("vectors/grammar-valid.jsonl")?
        .iter()
        .filter(|vector| vector["kind"] == "command")
    {
        let lines = answers(&twin, input(vector)).map_err(|error| format!("{vector}: {error}"))?;
        let [first, last] = lines.as_slice() else {
            wrong.push(format!("{vector} -> {lines:?}"));
            continue;
        };
        if first.starts_with("BAD ") || !last.starts_with("OK Noop") {
            wrong.push(format!(
                "{} {} -> {lines:?}",
                text(vector, "id"),
                readable(&input(vector), 100)
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} lines\n{}\n{}",
        wrong.len(),
        wrong.join("\n"),
        twin.log()
    );
    twin.stop()?;
    Ok(())
}
