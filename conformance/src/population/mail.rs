//! The messages: every shape that mail takes and that a replica must keep byte by byte.

use crate::rng::Rng;

/// A message with its purpose.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What is special about it.
    pub name: &'static str,
    /// The bytes.
    pub bytes: Vec<u8>,
}

fn sample(name: &'static str, bytes: impl Into<Vec<u8>>) -> Sample {
    Sample {
        name,
        bytes: bytes.into(),
    }
}

/// An ordinary message; `number` makes it different from the others.
pub fn plain(number: usize) -> Vec<u8> {
    format!(
        "From: Writer {number} <writer{number}@example.org>\r\nTo: reader@example.org\r\n\
         Subject: message {number}\r\nDate: Fri, 17 Jul 2020 02:44:25 -0700\r\n\
         Message-ID: <{number}@example.org>\r\n\r\nThis is the body of message {number}.\r\n"
    )
    .into_bytes()
}

/// The message whose equal bytes lie in several mailboxes of several users.
pub fn common() -> Vec<u8> {
    plain(4711)
}

/// Messages that Cyrus takes through `APPEND`.
pub fn appendable() -> Vec<Sample> {
    let header = "From: a@example.org\r\nSubject: sample\r\nMessage-ID: <s@example.org>\r\n";
    let with_body = |body: &[u8]| [header.as_bytes(), b"\r\n", body].concat();
    let long_header = format!("Subject: {}\r\n\r\nlong subject\r\n", "word ".repeat(4000));
    let multipart = "From: a@example.org\r\nSubject: parts\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=\"b1\"\r\n\r\npreamble\r\n--b1\r\n\
        Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
        gr\u{fc}\u{df}e\r\n--b1\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner body\r\n\
        --b1\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nAAECAwQ=\r\n--b1--\r\nepilogue\r\n";
    vec![
        sample("one line", with_body(b"body\r\n")),
        sample(
            "8-bit header and body",
            b"Subject: \xe9\xff\r\n\r\nd\xe9j\xe0 \x80\xfe\r\n".to_vec(),
        ),
        sample("empty body", with_body(b"")),
        sample("header without an empty line", header),
        sample("no header", "\r\nbody\r\n"),
        sample(
            "one very long line",
            with_body(&[vec![b'x'; 200_000], b"\r\n".to_vec()].concat()),
        ),
        sample("very long header line", long_header),
        sample("no final line end", with_body(b"ends here")),
        sample("bare CR", with_body(b"a\rb\r\n")),
        sample(
            "looks like protocol",
            with_body(b"* OK {5}\r\nA1 OK %{default abc 3}\r\n)\r\n.\r\n\"\\%("),
        ),
        sample("parts", multipart),
        sample("a megabyte", with_body(&megabyte())),
    ]
}

/// NUL-free bytes that `APPEND` refuses ("bare newlines") but that reach a Cyrus through replication,
/// through its spool or from old versions.
pub fn raw() -> Vec<Sample> {
    let header: &[u8] = b"Subject: raw\r\n\r\n";
    let binary: Vec<u8> = (1u8..=255).collect();
    vec![
        sample(
            "bare LF everywhere",
            b"From: a@example.org\nSubject: lf\n\nbody\nmore\n".to_vec(),
        ),
        sample("bare LF in the body", [header, b"a\nb\r\nc\n\nd"].concat()),
        sample("every byte but NUL", [header, &binary, &binary].concat()),
        sample("one byte", b"x".to_vec()),
        sample("one LF", b"\n".to_vec()),
    ]
}

fn megabyte() -> Vec<u8> {
    let mut rng = Rng::new(1);
    let mut body = Vec::new();
    while body.len() < 1 << 20 {
        body.extend_from_slice(&rng.bytes(70, b"abcdefghijklmnopqrstuvwxyz0123456789 "));
        body.extend_from_slice(b"\r\n");
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sample_holds_a_nul_and_all_differ() {
        let all: Vec<Sample> = appendable().into_iter().chain(raw()).collect();
        for (index, one) in all.iter().enumerate() {
            assert!(!one.bytes.contains(&0), "{}", one.name);
            assert!(
                all[..index].iter().all(|other| other.bytes != one.bytes),
                "{}",
                one.name
            );
        }
    }
}
