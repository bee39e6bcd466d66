//! What the run is to work on: names from the command line and from a file.

use std::io::Read as _;
use std::path::Path;

use engine::master::Job;
use protocol::{Text, utf7};

use crate::args::{Args, Mode};
use crate::failure::Failure;

/// The job that the arguments ask for. `unix_separator` tells whether people write mailbox names with `/`.
pub(crate) fn job(args: &Args, mode: Mode, unix_separator: bool) -> Result<Job, Failure> {
    let mut names = args.names.clone();
    if let Some(path) = &args.input_file {
        names.extend(read(path)?);
    }
    let what = match mode {
        Mode::AllUsers => {
            let mut names = names.into_iter();
            let prefix = names.next().unwrap_or_default();
            if names.next().is_some() {
                return Err(Failure::Usage("-A takes one prefix at most".to_owned()));
            }
            return Ok(Job::AllUsers {
                prefix: Text::from(prefix),
            });
        }
        Mode::Users => "-u needs a user id",
        Mode::Meta => "-s needs a user id",
        Mode::Mailboxes | Mode::Rolling => "-m needs a mailbox name",
    };
    if names.is_empty() {
        return Err(Failure::Usage(format!(
            "{what}; give one or more, or a file of them with -f"
        )));
    }
    let users = |names: Vec<String>| names.into_iter().map(Text::from).collect();
    Ok(match mode {
        Mode::Users => Job::Users(users(names)),
        Mode::Meta => Job::Meta(users(names)),
        _ => Job::Mailboxes(
            names
                .iter()
                .map(|name| Text::from(internal(name, unix_separator)))
                .collect(),
        ),
    })
}

/// One name a line; blank lines and those that begin with `#` are no names.
fn read(path: &Path) -> Result<Vec<String>, Failure> {
    let unreadable =
        |error: std::io::Error| Failure::Usage(format!("cannot read {}: {error}", path.display()));
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map_err(unreadable)?;
    } else {
        text = std::fs::read_to_string(path).map_err(unreadable)?;
    }
    let lines = text.lines().map(|line| line.trim_end_matches('\r'));
    Ok(lines
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect())
}

/// A mailbox name as on the wire. With the Unix separator `user/jane.doe/Sent@example.org` is
/// `example.org!user.jane^doe.Sent`; a name without a slash is taken as internal already. Letters outside ASCII are
/// written in modified UTF-7; a name that has none is taken as encoded already. [CS-NAME-1]
fn internal(name: &str, unix_separator: bool) -> String {
    let encoded;
    let name = if name.is_ascii() {
        name
    } else {
        // What is encoded already is kept: only letters that need it are encoded.
        encoded = utf7::encode(name).replace("&-", "&");
        &encoded
    };
    if !unix_separator || !name.contains('/') {
        return name.to_owned();
    }
    let (local, domain) = match name.rsplit_once('@') {
        Some((local, domain)) if !domain.contains('/') && !domain.is_empty() => (local, Some(domain)),
        _ => (name, None),
    };
    let swapped = local.chars().map(|c| match c {
        '/' => '.',
        '.' => '^',
        other => other,
    });
    domain.map(|domain| format!("{domain}!")).unwrap_or_default() + &swapped.collect::<String>()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn names_in_both_forms() {
        for (name, unix, expected) in [
            ("user.jane.Sent", true, "user.jane.Sent"),
            ("user/jane/Sent", true, "user.jane.Sent"),
            ("user/jane.doe/a.b", true, "user.jane^doe.a^b"),
            ("user/jane/Sent@example.org", true, "example.org!user.jane.Sent"),
            ("user/a@b/c", true, "user.a@b.c"),
            ("user.jane.a/b", false, "user.jane.a/b"),
            ("user/jane/Entwürfe", true, "user.jane.Entw&APw-rfe"),
            ("user.jane.Entwürfe", false, "user.jane.Entw&APw-rfe"),
            ("user/jane/Entw&APw-rfe", true, "user.jane.Entw&APw-rfe"),
            ("user/jane/R&-D ü", true, "user.jane.R&-D &APw-"),
        ] {
            assert_eq!(internal(name, unix), expected, "{name}");
        }
    }

    #[test]
    fn modes_and_their_names() {
        let job_of = |line: &[&str]| {
            let args =
                Args::try_parse_from([&["sync_client"], line].concat()).map_err(|e| e.kind().to_string())?;
            job(&args, args.mode()?, true).map_err(|e| e.to_string())
        };
        let text = |name: &str| Text::from(name);
        assert_eq!(
            job_of(&["-u", "a", "b"]),
            Ok(Job::Users(vec![text("a"), text("b")]))
        );
        assert_eq!(job_of(&["-s", "a"]), Ok(Job::Meta(vec![text("a")])));
        assert_eq!(
            job_of(&["-m", "user/a"]),
            Ok(Job::Mailboxes(vec![text("user.a")]))
        );
        assert_eq!(job_of(&["-A"]), Ok(Job::AllUsers { prefix: Text::EMPTY }));
        assert_eq!(job_of(&["-A", "a"]), Ok(Job::AllUsers { prefix: text("a") }));
        assert!(job_of(&["-A", "a", "b"]).is_err());
        assert!(job_of(&["-u"]).is_err());
        assert!(job_of(&["-s"]).is_err());
    }

    #[test]
    fn names_from_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("names");
        std::fs::write(&path, "# who\njane\r\n\n  \nbob smith\n").expect("a file");
        assert_eq!(
            read(&path).ok(),
            Some(vec!["jane".to_owned(), "bob smith".to_owned()])
        );
        let error = read(&folder.path().join("gone"))
            .expect_err("missing")
            .to_string();
        assert!(error.contains("gone: No such file"), "{error}");
    }
}
