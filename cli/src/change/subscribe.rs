//! `mailtwin subscribe` and `unsubscribe`.

use engine::local;
use engine::name::{inbox_of, is_acceptable};

use super::args::SubscribeArgs;
use super::{existing_user, within};
use crate::access::Access;
use crate::failure::{Exit, Failure, Result};
use crate::{names, output};

/// Begins or ends a subscription.
pub fn run(access: &mut Access, args: &SubscribeArgs, subscribed: bool) -> Result<()> {
    let user = existing_user(access, &args.user)?;
    let text = &args.mailbox;
    let elsewhere = text.starts_with("user/") || text.starts_with("user.") || text.starts_with("shared.");
    let mailbox = if elsewhere {
        names::anywhere(text)?
    } else {
        names::of_user(&user, text)?
    };
    if !is_acceptable(&mailbox) {
        return Err(Failure::new(
            Exit::Data,
            format!("{text:?} cannot be the name of a mailbox"),
        ));
    }
    let inbox = inbox_of(&user);
    within(access, &inbox, |access, _| {
        let there = access.user_meta(&user)?.subscriptions.contains(&mailbox);
        let changes = if there == subscribed {
            Vec::new()
        } else {
            local::subscribe(mailbox.clone(), subscribed)
        };
        Ok((changes, ()))
    })?;
    let verb = if subscribed {
        "is subscribed to"
    } else {
        "is not subscribed to"
    };
    output::note(&format!("{user} {verb} {mailbox}"))
}
