//! Text with placeholders in angle brackets, as scenario files write it: `GET USER <user>`.
//!
//! A placeholder is `<name>`, `<name:argument>` or `<name:argument more text>`, where the text may hold placeholders itself. Its
//! name begins with a lower-case letter, so that `<` before anything else stands for itself. `<0x0d0a>` is bytes in hexadecimal,
//! `<crlf>`, `<lf>`, `<cr>`, `<tab>`, `<space>`, `<lt>` and `<gt>` are bytes by name.

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text as it stands in the file; in a pattern, `*` and parentheses in it have a meaning.
    Plain(String),
    /// Bytes that were written as a placeholder; they never have a meaning in a pattern.
    Bytes(Vec<u8>),
    /// To be evaluated when the scenario runs.
    Call(Call),
}

/// A placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// What stands behind the colon.
    pub argument: Option<String>,
    /// What stands behind the blank.
    pub body: Template,
}

impl Call {
    /// Whether it is a name alone, as variables are.
    pub fn is_bare(&self) -> bool {
        self.argument.is_none() && self.body.is_empty()
    }
}

/// A text with placeholders.
pub type Template = Vec<Piece>;

/// Parses a text.
///
/// # Errors
/// A placeholder that is not closed, or hexadecimal digits that are no bytes; the text tells which.
pub fn parse(text: &str) -> Result<Template, String> {
    let mut reader = Reader { text, at: 0 };
    let template = reader.pieces(false)?;
    Ok(template)
}

/// All calls of a template, those inside others included, in the order of the text.
pub fn calls(template: &Template) -> Vec<&Call> {
    let mut found = Vec::new();
    for piece in template {
        if let Piece::Call(call) = piece {
            found.push(call);
            found.extend(calls(&call.body));
        }
    }
    found
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn pieces(&mut self, nested: bool) -> Result<Template, String> {
        let mut pieces = Template::new();
        let mut plain = String::new();
        while let Some(next) = self.rest().chars().next() {
            if nested && next == '>' {
                break;
            }
            if next == '<' && self.begins_placeholder() {
                if !plain.is_empty() {
                    pieces.push(Piece::Plain(std::mem::take(&mut plain)));
                }
                pieces.push(self.placeholder()?);
            } else {
                plain.push(next);
                self.at += next.len_utf8();
            }
        }
        if !plain.is_empty() {
            pieces.push(Piece::Plain(plain));
        }
        Ok(pieces)
    }

    fn begins_placeholder(&self) -> bool {
        let rest = &self.rest()[1..];
        rest.starts_with("0x") || rest.starts_with(|c: char| c.is_ascii_lowercase())
    }

    fn placeholder(&mut self) -> Result<Piece, String> {
        let start = self.at;
        self.at += 1;
        let unclosed = || format!("`{}` is not closed with `>`", &self.text[start..]);
        let name = self.word(|c| c.is_ascii_alphanumeric() || c == '-' || c == '+');
        let argument = self.rest().starts_with(':').then(|| {
            self.at += 1;
            self.word(|c| !c.is_whitespace() && c != '<' && c != '>')
        });
        let body = if self.rest().starts_with(' ') {
            self.at += 1;
            self.pieces(true)?
        } else {
            Template::new()
        };
        if !self.rest().starts_with('>') {
            return Err(unclosed());
        }
        self.at += 1;
        if let Some(digits) = name.strip_prefix("0x") {
            return hexadecimal(digits)
                .map(Piece::Bytes)
                .ok_or_else(|| format!("`<{name}>` is not made of two hexadecimal digits a byte"));
        }
        Ok(match (byte(&name), argument.is_none() && body.is_empty()) {
            (Some(bytes), true) => Piece::Bytes(bytes.to_vec()),
            _ => Piece::Call(Call { name, argument, body }),
        })
    }

    fn word(&mut self, fits: impl Fn(char) -> bool) -> String {
        let rest = self.rest();
        let end = rest.find(|c| !fits(c)).unwrap_or(rest.len());
        self.at += end;
        rest[..end].to_owned()
    }
}

fn byte(name: &str) -> Option<&'static [u8]> {
    Some(match name {
        "crlf" => b"\r\n",
        "lf" => b"\n",
        "cr" => b"\r",
        "tab" => b"\t",
        "space" => b" ",
        "lt" => b"<",
        "gt" => b">",
        _ => return None,
    })
}

fn hexadecimal(digits: &str) -> Option<Vec<u8>> {
    if digits.is_empty() || !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, argument: Option<&str>, body: Template) -> Piece {
        Piece::Call(Call {
            name: name.to_owned(),
            argument: argument.map(str::to_owned),
            body,
        })
    }

    fn plain(text: &str) -> Piece {
        Piece::Plain(text.to_owned())
    }

    #[test]
    fn placeholders_of_every_form() {
        assert_eq!(
            parse("GET <user> <box:a><0x80ff> x<crlf>"),
            Ok(vec![
                plain("GET "),
                call("user", None, vec![]),
                plain(" "),
                call("box", Some("a"), vec![]),
                Piece::Bytes(vec![0x80, 0xff]),
                plain(" x"),
                Piece::Bytes(b"\r\n".to_vec()),
            ])
        );
        assert_eq!(
            parse("<record:hello UID <plus <uid> 1>>"),
            Ok(vec![call(
                "record",
                Some("hello"),
                vec![
                    plain("UID "),
                    call("plus", None, vec![call("uid", None, vec![]), plain(" 1")])
                ]
            )])
        );
    }

    #[test]
    fn brackets_of_other_kinds_are_text() {
        assert_eq!(parse("<A@b> 1 < 2 > 0"), Ok(vec![plain("<A@b> 1 < 2 > 0")]));
    }

    #[test]
    fn what_is_not_closed_or_no_byte_is_an_error() {
        assert!(parse("<user").is_err());
        assert!(parse("<box:a b").is_err());
        assert!(parse("<0x8>").is_err());
        assert!(parse("<0xzz>").is_err());
    }

    #[test]
    fn calls_inside_calls() {
        let template = parse("<mailbox:a RECORD (<record:x>)> <user>").expect("readable");
        let names: Vec<&str> = calls(&template).iter().map(|call| call.name.as_str()).collect();
        assert_eq!(names, ["mailbox", "record", "user"]);
    }
}
