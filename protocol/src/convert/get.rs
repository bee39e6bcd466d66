//! `GET` commands. `[CS-GET-6]` to `[CS-GET-14]`

use super::fields::{Fields, items, text, texts};
use crate::Text;
use crate::command::{Fetch, Get};
use crate::grammar::Value;

/// From keyword and argument; the keyword in either case.
pub(crate) fn get(keyword: &[u8], argument: &Value<'_>) -> Get {
    let keyword = keyword.to_ascii_uppercase();
    let fields = Fields::of(argument);
    match keyword.as_slice() {
        b"USER" => Get::User(text(argument)),
        b"META" => Get::Meta(text(argument)),
        b"MAILBOXES" => Get::Mailboxes(items(argument).map(|items| texts(&items))),
        b"UNIQUEIDS" => Get::Uniqueids(items(argument).map(|items| texts(&items))),
        b"FULLMAILBOX" => Get::FullMailbox(text(argument)),
        b"QUOTA" => Get::Quota(text(argument)),
        b"ANNOTATION" => Get::Annotation(text(argument)),
        b"FETCH" => Get::Fetch(Fetch {
            mboxname: fields.text("MBOXNAME"),
            partition: fields.text("PARTITION"),
            uniqueid: fields.text("UNIQUEID"),
            guid: fields.guid("GUID"),
            uid: fields.u32("UID"),
        }),
        b"FETCH_SIEVE" => Get::FetchSieve {
            userid: fields.text("USERID"),
            filename: fields.text("FILENAME"),
        },
        _ => Get::Unknown(Text::from(keyword)),
    }
}
