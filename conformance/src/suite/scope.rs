//! What the placeholders of a scenario stand for: names that belong to one run of one scenario, messages, sums, variables.

use super::made;
use super::target::Target;
use super::template::{Call, Piece, Template};
use crate::csync::{crc, dlist};
use base64::Engine as _;
use sha1::{Digest as _, Sha1};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

/// GUID of nothing.
const NULL_GUID: &str = "0000000000000000000000000000000000000000";
/// The time in the names of deleted mailboxes.
const DELETED_AT: &str = "65A0B1C2";

/// The values of one run of one scenario.
#[derive(Debug)]
pub struct Scope<'a> {
    target: &'a Target,
    /// What all names of this run begin with.
    stem: String,
    variables: BTreeMap<String, Vec<u8>>,
    messages: BTreeMap<String, Vec<u8>>,
    /// Users that were named, to be removed in the end.
    users: BTreeSet<String>,
    /// Mailboxes that go with no user, to be removed in the end.
    mailboxes: BTreeSet<String>,
    /// What must not show in a report, with what is shown instead.
    secrets: Vec<(Vec<u8>, &'static str)>,
}

impl<'a> Scope<'a> {
    /// A scope whose names begin with `stem`, which no other run may use.
    pub fn new(target: &'a Target, stem: &str) -> Scope<'a> {
        Scope {
            target,
            stem: stem.to_owned(),
            variables: BTreeMap::new(),
            messages: BTreeMap::new(),
            users: BTreeSet::new(),
            mailboxes: BTreeSet::new(),
            secrets: Vec::new(),
        }
    }

    /// The server's data, for the steps.
    pub fn target(&self) -> &'a Target {
        self.target
    }

    /// Gives a variable a value.
    pub fn bind(&mut self, name: &str, value: Vec<u8>) {
        self.variables.insert(name.to_owned(), value);
    }

    /// Gives a message its bytes.
    pub fn define_message(&mut self, name: &str, bytes: Vec<u8>) {
        self.messages.insert(name.to_owned(), bytes);
    }

    /// The users that were named.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.users.iter().map(String::as_str)
    }

    /// The mailboxes without an owner, and deleted ones, that were named.
    pub fn mailboxes(&self) -> impl Iterator<Item = &str> {
        self.mailboxes.iter().map(String::as_str)
    }

    /// Bytes as a report may show them.
    pub fn redacted(&self, bytes: &[u8]) -> Vec<u8> {
        let mut shown = bytes.to_vec();
        for (secret, instead) in &self.secrets {
            while let Some(at) = find(&shown, secret) {
                shown.splice(at..at + secret.len(), instead.bytes());
            }
        }
        shown
    }

    /// The bytes of a template.
    ///
    /// # Errors
    /// A placeholder without a value.
    pub fn bytes(&mut self, template: &Template) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        for piece in template {
            match piece {
                Piece::Plain(text) => bytes.extend_from_slice(text.as_bytes()),
                Piece::Bytes(exact) => bytes.extend_from_slice(exact),
                Piece::Call(call) => bytes.extend(
                    self.value(call)?
                        .ok_or_else(|| format!("<{}> has no value", call.name))?,
                ),
            }
        }
        Ok(bytes)
    }

    /// The value of one placeholder; `None` for a variable that has none yet.
    ///
    /// # Errors
    /// A placeholder that is written wrongly.
    pub fn value(&mut self, call: &Call) -> Result<Option<Vec<u8>>, String> {
        if call.is_bare()
            && let Some(value) = self.variables.get(&call.name)
        {
            return Ok(Some(value.clone()));
        }
        let argument = call.argument.as_deref().unwrap_or_default();
        let text = |text: &str| Ok(Some(text.as_bytes().to_vec()));
        match call.name.as_str() {
            "user" => text(&self.user(argument)),
            "admin" => text(&self.target.user),
            "partition" => text(&self.target.partition),
            "partition2" => text(self.target.partition2.as_deref().unwrap_or("second")),
            "ordinary" => text(self.target.ordinary.as_deref().unwrap_or("nobody")),
            "null-guid" => text(NULL_GUID),
            "now" => text(&now().to_string()),
            "box" => text(&self.mailbox_name(argument)),
            "deleted" => {
                let name = format!("DELETED.{}.{DELETED_AT}", self.mailbox_name(argument));
                self.mailboxes.insert(name.clone());
                text(&name)
            }
            "id" => text(&self.unique_id(argument)),
            "plain" => self.plain(argument).map(Some),
            "guid" | "size" | "bytes" | "file" => self.message_value(&call.name, argument).map(Some),
            "record" => made::record(self, argument, &call.body).map(Some),
            "mailbox" => made::mailbox(self, argument, &call.body).map(Some),
            _ => self.function(call),
        }
    }

    fn function(&mut self, call: &Call) -> Result<Option<Vec<u8>>, String> {
        let known = [
            "lit",
            "lit+",
            "repeat",
            "plus",
            "minus",
            "sha1",
            "base64",
            "crc",
            "crc-annot",
        ];
        if !known.contains(&call.name.as_str()) {
            return Ok(None);
        }
        let body = self.bytes(&call.body)?;
        Ok(Some(match call.name.as_str() {
            "lit" => literal(&body, ""),
            "lit+" => literal(&body, "+"),
            "repeat" => {
                let count: usize = call
                    .argument
                    .as_deref()
                    .and_then(|count| count.parse().ok())
                    .ok_or("<repeat:COUNT text> has no count")?;
                body.repeat(count)
            }
            "plus" => sum(&body, 1)?,
            "minus" => sum(&body, -1)?,
            "sha1" => guid(&body).into_bytes(),
            "base64" => base64::engine::general_purpose::STANDARD
                .encode(&body)
                .into_bytes(),
            "crc" => self.sums(&body)?.0.to_string().into_bytes(),
            _ => self.sums(&body)?.1.to_string().into_bytes(),
        }))
    }

    /// Both sums over a list of records.
    ///
    /// # Errors
    /// Records that cannot be read.
    pub fn sums(&self, records: &[u8]) -> Result<(u32, u32), String> {
        let line = [b"X (", records, b")"].concat();
        let (_, list) = dlist::read_named(&line).map_err(|error| error.to_string())?;
        Ok(crc::mailbox(list.members()))
    }

    /// The user called `name` in the scenario, `""` for the usual one.
    pub fn user(&mut self, name: &str) -> String {
        let user = format!("{}{name}", self.stem);
        self.users.insert(user.clone());
        user
    }

    /// `a`, `inbox`, `b/a`, `shared/a`.
    pub fn mailbox_name(&mut self, path: &str) -> String {
        let (owner, folder) = path.split_once('/').unwrap_or(("", path));
        if owner == "shared" {
            let name = format!("{}.{folder}", self.stem);
            self.mailboxes.insert(name.clone());
            return name;
        }
        let user = self.user(owner);
        if folder == "inbox" {
            format!("user.{user}")
        } else {
            format!("user.{user}.{folder}")
        }
    }

    /// The unique id that goes with a name of the scenario.
    pub fn unique_id(&self, path: &str) -> String {
        guid(format!("{}/{path}", self.stem).as_bytes())[..24].to_owned()
    }

    /// The bytes of a message; one that was not defined has a text of its own.
    pub fn message(&self, name: &str) -> Vec<u8> {
        self.messages.get(name).cloned().unwrap_or_else(|| {
            format!(
                "From: <alice@example.org>\r\nTo: <bob@example.org>\r\nSubject: {name}\r\nDate: Mon, 01 Jan 2024 00:00:00 +0000\r\n\
                 Message-ID: <{name}.{}@example.org>\r\n\r\nThis is {name}.\r\n",
                self.stem
            )
            .into_bytes()
        })
    }

    fn message_value(&mut self, kind: &str, argument: &str) -> Result<Vec<u8>, String> {
        let (name, place) = argument.split_once('@').unwrap_or((argument, "1"));
        let bytes = self.message(name);
        Ok(match kind {
            "guid" => guid(&bytes).into_bytes(),
            "size" => bytes.len().to_string().into_bytes(),
            "bytes" => bytes,
            _ => {
                let partition = match place {
                    "1" => self.target.partition.as_str(),
                    "2" => self.target.partition2.as_deref().unwrap_or("second"),
                    other => other,
                };
                let head = format!("%{{{partition} {} {}}}\r\n", guid(&bytes), bytes.len());
                [head.as_bytes(), &bytes].concat()
            }
        })
    }

    /// The response of AUTHENTICATE PLAIN.
    fn plain(&mut self, what: &str) -> Result<Vec<u8>, String> {
        let encode = |text: String| {
            base64::engine::general_purpose::STANDARD
                .encode(text)
                .into_bytes()
        };
        let Target { user, password, .. } = self.target;
        let ordinary = self.target.ordinary.as_deref().unwrap_or("nobody");
        let response = match what {
            "" => encode(format!("\0{user}\0{password}")),
            "wrong" => encode(format!("\0{user}\0not-{user}-s")),
            "unknown" => encode(format!("\0{}\0{}", self.stem, self.stem)),
            "ordinary" => encode(format!("\0{ordinary}\0{}", self.target.ordinary_password)),
            "ordinary-as-admin" => encode(format!("{user}\0{ordinary}\0{}", self.target.ordinary_password)),
            "admin-as-ordinary" => encode(format!("{ordinary}\0{user}\0{password}")),
            _ => return Err(format!("<plain:{what}> is unknown")),
        };
        if matches!(what, "" | "ordinary" | "ordinary-as-admin" | "admin-as-ordinary") {
            self.secrets.push((response.clone(), "<plain>"));
        }
        Ok(response)
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// SHA-1 in 40 digits.
pub fn guid(bytes: &[u8]) -> String {
    Sha1::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn literal(body: &[u8], plus: &str) -> Vec<u8> {
    [format!("{{{}{plus}}}\r\n", body.len()).as_bytes(), body].concat()
}

/// The first number, and all others added to it with `sign`.
fn sum(body: &[u8], sign: i128) -> Result<Vec<u8>, String> {
    let text = String::from_utf8_lossy(body);
    let numbers: Result<Vec<i128>, _> = text.split_whitespace().map(str::parse).collect();
    let numbers = numbers.map_err(|_| format!("`{text}` is not made of numbers"))?;
    let total = numbers.iter().enumerate().fold(0i128, |total, (at, number)| {
        total.saturating_add(if at == 0 {
            *number
        } else {
            number.saturating_mul(sign)
        })
    });
    Ok(total.to_string().into_bytes())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    if what.is_empty() {
        return None;
    }
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::super::template;
    use super::*;

    fn shown(text: &str) -> String {
        let target = Target::new("127.0.0.1:1", "admin", "geheim");
        let mut scope = Scope::new(&target, "t1");
        let bytes = scope
            .bytes(&template::parse(text).expect("readable"))
            .expect("values");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn names() {
        assert_eq!(
            shown("<user> <user:b> <box:inbox> <box:a.b>"),
            "t1 t1b user.t1 user.t1.a.b"
        );
        assert_eq!(shown("<box:b/inbox> <box:shared/x>"), "user.t1b t1.x");
        assert_eq!(shown("<deleted:a>"), "DELETED.user.t1.a.65A0B1C2");
        assert_eq!(shown("<id:a>").len(), 24);
    }

    #[test]
    fn functions() {
        assert_eq!(shown("<lit+ a b>"), "{3+}\r\na b");
        assert_eq!(shown("<lit >"), "{0}\r\n");
        assert_eq!(shown("<repeat:3 ab>"), "ababab");
        assert_eq!(shown("<plus 4 <minus 3 1>>"), "6");
        assert_eq!(shown("<sha1 abc>"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(shown("<crc >"), "0");
        assert_eq!(shown("<crc-annot >"), "12345678");
    }

    #[test]
    fn secrets_do_not_show() {
        let target = Target::new("127.0.0.1:1", "admin", "geheim");
        let mut scope = Scope::new(&target, "t1");
        let sent = scope
            .bytes(&template::parse("AUTHENTICATE PLAIN <plain>").expect("readable"))
            .expect("values");
        assert_eq!(scope.redacted(&sent), b"AUTHENTICATE PLAIN <plain>");
    }
}
