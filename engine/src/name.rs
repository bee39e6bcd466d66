//! Internal mailbox names: whose they are, and which are acceptable.
//!
//! On the wire names use `.` as separator; a user's INBOX is `user.<id>` (with a domain: `domain!user.<id>`), where
//! dots of the id are written `^`. Deleted mailboxes are kept as `DELETED.<name>.<8 hex digits>`. [CS-NAME-1]

use protocol::Text;

/// Longest mailbox name taken, bytes. Cyrus itself stops at 490.
pub const NAME_BYTES_MAX: usize = 1024;

/// Whose database a mailbox lives in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scope {
    /// A user's mailboxes, seen states, subscriptions, scripts and quotas; the id as in `GET USER`.
    User(Text),
    /// Mailboxes of nobody, and what belongs to the server.
    Shared,
}

impl Scope {
    /// The scope that holds the mailbox of this internal name; a quota root has the scope of its name.
    pub fn of(name: &[u8]) -> Scope {
        owner(name).map_or(Scope::Shared, Scope::User)
    }
}

/// The user id that owns the mailbox of this internal name, its deleted ones included.
pub fn owner(name: &[u8]) -> Option<Text> {
    let (domain, local) = split_domain(name);
    let local = local.strip_prefix(b"DELETED.").unwrap_or(local);
    let rest = local.strip_prefix(b"user.")?;
    let id = rest.split(|&b| b == b'.').next().unwrap_or_default();
    if id.is_empty() {
        return None;
    }
    let mut user: Vec<u8> = id.iter().map(|&b| if b == b'^' { b'.' } else { b }).collect();
    if let Some(domain) = domain {
        user.push(b'@');
        user.extend_from_slice(domain);
    }
    Some(Text::from(user))
}

/// The internal name of a user's INBOX.
pub fn inbox_of(user: &[u8]) -> Text {
    let (local, domain) = match user.iter().rposition(|&b| b == b'@') {
        Some(at) => (&user[..at], Some(&user[at + 1..])),
        None => (user, None),
    };
    let mut name = Vec::with_capacity(user.len() + 6);
    if let Some(domain) = domain {
        name.extend_from_slice(domain);
        name.push(b'!');
    }
    name.extend_from_slice(b"user.");
    name.extend(local.iter().map(|&b| if b == b'.' { b'^' } else { b }));
    Text::from(name)
}

/// Whether this is some user's INBOX.
pub fn is_inbox(name: &[u8]) -> bool {
    !is_deleted(name) && owner(name).is_some_and(|user| inbox_of(&user).as_bytes() == name)
}

/// What an INBOX was called last that took over another identity. [CS-SPLIT-24]
pub fn former_inbox(inbox: &[u8]) -> Text {
    Text::from([inbox, b".INBOX-former"].concat())
}

/// What a mailbox of this name is called once it is deleted at this time (seconds since the epoch). [CS-MBOX-45]
pub fn deleted_name(name: &[u8], time: u32) -> Text {
    let at = name.iter().position(|&b| b == b'!').map_or(0, |at| at + 1);
    let (domain, local) = name.split_at(at);
    let local = match local.strip_prefix(b"DELETED.") {
        // It is deleted already: only its time changes.
        Some(rest) => &rest[..rest.iter().rposition(|&b| b == b'.').unwrap_or(rest.len())],
        None => local,
    };
    let time = format!(".{time:08X}");
    Text::from([domain, b"DELETED.", local, time.as_bytes()].concat())
}

/// Whether this is what became of some user's INBOX in the `DELETED` hierarchy.
pub fn is_deleted_inbox(name: &[u8]) -> bool {
    let (_, local) = split_domain(name);
    local
        .strip_prefix(b"DELETED.user.")
        .is_some_and(|rest| rest.iter().filter(|byte| **byte == b'.').count() == 1)
}

/// Whether the name lies in the `DELETED` hierarchy.
pub fn is_deleted(name: &[u8]) -> bool {
    split_domain(name).1.starts_with(b"DELETED.")
}

/// Whether this is a user's `#sieve` mailbox.
pub fn is_sieve(name: &[u8]) -> bool {
    name.ends_with(b".#sieve")
}

/// Whether a mailbox may be created under this name: no empty component, no control or 8-bit byte, no slash-free
/// trickery such as `..`, at most [`NAME_BYTES_MAX`] bytes. [CS-NAME-2]
pub fn is_acceptable(name: &[u8]) -> bool {
    let (domain, local) = split_domain(name);
    !local.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && domain.is_none_or(|d| !d.is_empty())
        && name.iter().all(|&b| (0x20..0x7f).contains(&b))
        && local.split(|&b| b == b'.').all(|part| !part.is_empty())
}

fn split_domain(name: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match name.iter().position(|&b| b == b'!') {
        Some(at) => (Some(&name[..at]), &name[at + 1..]),
        None => (None, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_is_the_user_component() {
        assert_eq!(owner(b"user.jane"), Some(Text::from("jane")));
        assert_eq!(owner(b"user.jane^doe.Sent"), Some(Text::from("jane.doe")));
        assert_eq!(
            owner(b"example.org!user.jane.x"),
            Some(Text::from("jane@example.org"))
        );
        assert_eq!(owner(b"DELETED.user.jane.x.5F000000"), Some(Text::from("jane")));
        assert_eq!(owner(b"shared.news"), None);
        assert_eq!(owner(b"user."), None);
        assert_eq!(Scope::of(b"shared.news"), Scope::Shared);
    }

    #[test]
    fn inbox_names_round_trip() {
        for user in ["jane", "jane.doe", "jane.doe@example.org"] {
            let inbox = inbox_of(user.as_bytes());
            assert!(is_inbox(&inbox));
            assert_eq!(owner(&inbox), Some(Text::from(user)));
        }
        assert!(!is_inbox(b"user.jane.Sent"));
        assert!(!is_inbox(b"DELETED.user.jane.5F000000"));
        assert_eq!(deleted_name(b"user.jane.a", 0x5f), "DELETED.user.jane.a.0000005F");
        assert_eq!(
            deleted_name(b"x.org!user.jane", 0x5f00_0000),
            "x.org!DELETED.user.jane.5F000000"
        );
        assert_eq!(
            deleted_name(b"DELETED.user.jane.a.5F", 1),
            "DELETED.user.jane.a.00000001"
        );
        assert!(is_deleted_inbox(b"DELETED.user.jane.5F000000"));
        assert!(!is_deleted_inbox(b"DELETED.user.jane.a.5F000000"));
    }

    #[test]
    fn names_that_are_refused() {
        for bad in [
            &b""[..],
            b"user..x",
            b"user.x.",
            b".x",
            b"user.\xc3\xa4",
            b"user.a\nb",
            b"!user.x",
        ] {
            assert!(!is_acceptable(bad), "{:?}", bad.escape_ascii().to_string());
        }
        for good in [
            &b"user.x"[..],
            b"user.x.a b",
            b"user.x.&AOQ-",
            b"user.x.\"q\"",
            b"user.x.a/b",
        ] {
            assert!(is_acceptable(good));
        }
    }
}
