//! `APPLY` commands that come as one line. `[CS-APPLY-7]` to `[CS-APPLY-50]`

use super::fields::{Fields, guids, items, number, text, texts};
use crate::Text;
use crate::command::{Apply, Quota, Reserve, Seen};
use crate::grammar::Value;

/// From keyword and argument; the keyword in either case. `MESSAGE` and `MAILBOX` are not taken here.
pub(crate) fn apply(keyword: &[u8], argument: &Value<'_>) -> Apply {
    let keyword = keyword.to_ascii_uppercase();
    let fields = Fields::of(argument);
    match keyword.as_slice() {
        b"RESERVE" => Apply::Reserve(reserve(fields)),
        b"EXPUNGE" => Apply::Expunge {
            mboxname: fields.text("MBOXNAME"),
            uniqueid: fields.text("UNIQUEID"),
            uids: fields.items("UID").and_then(|items| uids(&items)),
        },
        b"RENAME" => rename(fields, false),
        b"LOCAL_RENAME" => rename(fields, true),
        b"UNMAILBOX" => Apply::Unmailbox {
            mboxname: text(argument),
            local: false,
        },
        b"LOCAL_UNMAILBOX" => Apply::Unmailbox {
            mboxname: text(argument),
            local: true,
        },
        b"UNUSER" => Apply::Unuser {
            userid: text(argument),
            local: false,
        },
        b"LOCAL_UNUSER" => Apply::Unuser {
            userid: text(argument),
            local: true,
        },
        b"SUB" => Apply::Sub {
            mboxname: fields.text("MBOXNAME"),
            userid: fields.text("USERID"),
        },
        b"UNSUB" => Apply::Unsub {
            mboxname: fields.text("MBOXNAME"),
            userid: fields.text("USERID"),
        },
        b"SEEN" => Apply::Seen(seen(fields)),
        b"QUOTA" => Apply::Quota(quota(fields)),
        b"UNQUOTA" => Apply::Unquota { root: text(argument) },
        b"SIEVE" | b"UNSIEVE" | b"ACTIVATE_SIEVE" | b"UNACTIVATE_SIEVE" => sieve(&keyword, fields),
        b"ANNOTATION" => Apply::Annotation {
            mboxname: fields.text("MBOXNAME"),
            entry: fields.text("ENTRY"),
            userid: fields.text("USERID"),
            value: fields.text("VALUE"),
        },
        b"UNANNOTATION" => Apply::Unannotation {
            mboxname: fields.text("MBOXNAME"),
            entry: fields.text("ENTRY"),
            userid: fields.text("USERID"),
        },
        b"FORCE" => Apply::Force,
        b"CAPABILITIES" => Apply::Capabilities(items(argument).map(|items| texts(&items))),
        _ => Apply::Unknown(Text::from(keyword)),
    }
}

fn sieve(keyword: &[u8], fields: Fields<'_, '_>) -> Apply {
    let userid = fields.text("USERID");
    let filename = fields.text("FILENAME");
    match keyword {
        b"SIEVE" => Apply::Sieve {
            userid,
            filename,
            last_update: fields.date("LAST_UPDATE"),
            content: fields.text("CONTENT"),
        },
        b"UNSIEVE" => Apply::Unsieve { userid, filename },
        b"ACTIVATE_SIEVE" => Apply::ActivateSieve { userid, filename },
        _ => Apply::UnactivateSieve { userid },
    }
}

fn reserve(fields: Fields<'_, '_>) -> Reserve {
    Reserve {
        partition: fields.text("PARTITION"),
        mboxnames: fields.texts("MBOXNAME"),
        guids: fields.items("GUID").and_then(|items| guids(&items)),
    }
}

/// `None` when one of the items is not a UID.
fn uids(items: &[&Value<'_>]) -> Option<Vec<u32>> {
    items
        .iter()
        .copied()
        .map(|item| u32::try_from(number(item)?).ok())
        .collect()
}

fn rename(fields: Fields<'_, '_>, local: bool) -> Apply {
    Apply::Rename {
        oldmboxname: fields.text("OLDMBOXNAME"),
        newmboxname: fields.text("NEWMBOXNAME"),
        partition: fields.text("PARTITION"),
        uidvalidity: fields.u32("UIDVALIDITY"),
        local,
    }
}

/// Of `APPLY SEEN` and `* SEEN`.
pub(crate) fn seen(fields: Fields<'_, '_>) -> Seen {
    Seen {
        userid: fields.text("USERID"),
        uniqueid: fields.text("UNIQUEID"),
        lastread: fields.date("LASTREAD"),
        lastuid: fields.u32("LASTUID"),
        lastchange: fields.date("LASTCHANGE"),
        seenuids: fields.text("SEENUIDS"),
    }
}

/// Of `APPLY QUOTA` and `* QUOTA`. Of two spellings of a resource the newer one wins, as it does in a Cyrus that
/// knows both.
pub(crate) fn quota(fields: Fields<'_, '_>) -> Quota {
    Quota {
        root: fields.text("ROOT"),
        limit: fields.u32("LIMIT"),
        storage: fields.u32("STORAGE"),
        message: fields.u32("MESSAGE"),
        annotation_storage: fields
            .u32("ANNOTATION-STORAGE")
            .or_else(|| fields.u32("X-ANNOTATION-STORAGE")),
        num_folders: fields.u32("MAILBOX").or_else(|| fields.u32("X-NUM-FOLDERS")),
        modseq: fields.u64("MODSEQ"),
    }
}
