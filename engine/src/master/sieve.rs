//! Scripts by the SIEVE commands: the way to peers that do not take `#sieve` mailboxes, and for scripts that came
//! that way. [CS-MASTER-6]

use std::collections::BTreeMap;

use protocol::command::{Apply, Command, Get};
use protocol::response::{Data, Sieve};
use protocol::{Guid, SystemFlags, Text};
use sha1::{Digest, Sha1};

use super::folders::is_sieve_box;
use super::run::{Run, Tried};
use crate::model::{SieveScript, UserMeta};
use crate::name::Scope;
use crate::ticket::Select;

impl Run {
    /// Makes the replica's scripts equal to the user's; with what it lists comes whether it has a `#sieve` mailbox.
    pub(super) async fn sync_scripts(
        &mut self,
        user: &Text,
        scope: &Scope,
        ours: UserMeta,
        (theirs, has_sieve_box): (Vec<Sieve>, bool),
        reasons: &mut Vec<String>,
    ) -> Tried<()> {
        let mut scripts: BTreeMap<Text, SieveScript> = ours
            .scripts
            .into_iter()
            .map(|script| (script.name.clone(), script))
            .collect();
        let mut active = ours.active_script;
        if self.peer.sieve_mailbox {
            // Scripts of a `#sieve` mailbox went as its messages; our own replica lists the others all the same.
            if !self.peer.is_mailtwin() {
                if self.keeps_sieve_box(user).await? {
                    return self.sync_unlisted(user, scripts, active, reasons).await;
                }
                // None of ours is a message, so all of the replica's messages stand for scripts of ours.
                let theirs = if has_sieve_box {
                    self.scripts_there(user).await?
                } else {
                    Vec::new()
                };
                return self.sync_listed(user, scripts, active, theirs, reasons).await;
            }
        } else {
            self.scripts_of_mailbox(user, scope, &mut scripts, &mut active)
                .await?;
        }
        self.sync_listed(user, scripts, active, theirs, reasons).await
    }

    /// The replica listed its scripts.
    async fn sync_listed(
        &mut self,
        user: &Text,
        mut scripts: BTreeMap<Text, SieveScript>,
        active: Option<Text>,
        theirs: Vec<Sieve>,
        reasons: &mut Vec<String>,
    ) -> Tried<()> {
        let mut active_there = None;
        let mut dead = Vec::new();
        for script in theirs {
            let Some(filename) = script.filename else { continue };
            if let Some(name) = filename.strip_suffix(b".bc") {
                if script.isactive {
                    active_there = Some(Text::copy_from(name));
                }
                continue;
            }
            let Some(name) = filename.strip_suffix(b".script").map(Text::copy_from) else {
                continue;
            };
            if script.isactive {
                active_there = Some(name.clone());
            }
            match scripts.get(&name) {
                None => dead.push(name),
                Some(mine) => {
                    let same = match script.guid.filter(|guid| *guid != Guid::NULL) {
                        Some(guid) => guid == mine.guid,
                        None => script.last_update.unwrap_or(0) >= mine.last_update,
                    };
                    if same {
                        scripts.remove(&name);
                    }
                }
            }
        }
        let mut asked = Vec::new();
        let activate =
            active != active_there || active.as_ref().is_some_and(|name| scripts.contains_key(name));
        for script in scripts.into_values() {
            let about = script.name.clone();
            self.apply(&mut asked, "APPLY SIEVE", &about, upload_of(user, script))
                .await?;
        }
        if activate {
            let command = activation(user, active);
            self.apply(&mut asked, "APPLY ACTIVATE_SIEVE", user, command)
                .await?;
        }
        // An active script is deleted only after another one, or none, is active.
        for name in dead {
            let command = Apply::Unsieve {
                userid: Some(user.clone()),
                filename: Some(with(&name, b".script")),
            };
            self.apply(&mut asked, "APPLY UNSIEVE", &name, command).await?;
        }
        self.settle_applied(asked, reasons).await
    }

    /// The replica keeps scripts as messages and lists none: ours, which are not messages, are compared one by one.
    /// Its others are its own.
    async fn sync_unlisted(
        &mut self,
        user: &Text,
        scripts: BTreeMap<Text, SieveScript>,
        active: Option<Text>,
        reasons: &mut Vec<String>,
    ) -> Tried<()> {
        let mut fetches = Vec::new();
        for name in scripts.keys() {
            let get = Get::FetchSieve {
                userid: Some(user.clone()),
                filename: Some(with(name, b".script")),
            };
            self.wire.bound(self.config.pipeline_bytes_max).await?;
            fetches.push(self.wire.send("GET FETCH_SIEVE", name, &Command::Get(get)));
        }
        let mut asked = Vec::new();
        let mut differing = false;
        for (sent, script) in fetches.into_iter().zip(scripts.into_values()) {
            let answer = self.wire.answer(sent).await?;
            let same = answer.data.iter().any(
                |data| matches!(data, Data::Sieve(there) if there.content.as_ref() == Some(&script.content)),
            );
            if !same {
                differing = true;
                let about = script.name.clone();
                self.apply(&mut asked, "APPLY SIEVE", &about, upload_of(user, script))
                    .await?;
            }
        }
        if differing && active.is_some() {
            let command = activation(user, active);
            self.apply(&mut asked, "APPLY ACTIVATE_SIEVE", user, command)
                .await?;
        }
        self.settle_applied(asked, reasons).await
    }

    /// The scripts that are messages of the user's `#sieve` mailbox.
    async fn scripts_of_mailbox(
        &mut self,
        user: &Text,
        scope: &Scope,
        scripts: &mut BTreeMap<Text, SieveScript>,
        active: &mut Option<Text>,
    ) -> Tried<()> {
        let locals = self.local_mailboxes(Select::User(user.clone())).await?;
        let Some(mailbox) = locals
            .iter()
            .find(|mailbox| is_sieve_box(mailbox) && !crate::name::is_deleted(&mailbox.name))
        else {
            return Ok(());
        };
        let uids = self.changed_uids(&mailbox.key(), 0).await?;
        let records = self.read_records(&mailbox.key(), &uids).await?;
        for record in records.iter().filter(|record| !record.is_expunged()) {
            let Some(bytes) = self.read_small(scope, record.guid).await? else {
                continue;
            };
            let Some((name, content)) = split_message(&bytes) else {
                continue;
            };
            if record.flags.system.contains(SystemFlags::FLAGGED) {
                *active = Some(name.clone());
            }
            let guid = Guid::from_bytes(Sha1::digest(&content).into());
            let last_update = record.internaldate;
            scripts.insert(
                name.clone(),
                SieveScript {
                    name,
                    last_update,
                    guid,
                    content,
                },
            );
        }
        Ok(())
    }
}

fn with(name: &Text, suffix: &[u8]) -> Text {
    let mut bytes = name.as_bytes().to_vec();
    bytes.extend_from_slice(suffix);
    Text::from(bytes)
}

fn upload_of(user: &Text, script: SieveScript) -> Apply {
    Apply::Sieve {
        userid: Some(user.clone()),
        filename: Some(with(&script.name, b".script")),
        last_update: Some(script.last_update),
        content: Some(script.content),
    }
}

fn activation(user: &Text, active: Option<Text>) -> Apply {
    match active {
        Some(name) => Apply::ActivateSieve {
            userid: Some(user.clone()),
            filename: Some(with(&name, b".bc")),
        },
        None => Apply::UnactivateSieve {
            userid: Some(user.clone()),
        },
    }
}

/// Name (the Subject) and body of a script kept as a message.
pub(super) fn split_message(message: &[u8]) -> Option<(Text, Text)> {
    let end = message.windows(4).position(|w| w == b"\r\n\r\n")?;
    let (head, body) = (&message[..end], &message[end + 4..]);
    let subject = head.split(|&b| b == b'\n').find_map(|line| {
        let (key, value) = line.split_at_checked(8)?;
        key.eq_ignore_ascii_case(b"Subject:").then(|| value.trim_ascii())
    })?;
    (!subject.is_empty()).then(|| (Text::copy_from(subject), Text::copy_from(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_out_of_its_message() {
        let message = b"From: <a@b>\r\nsubject: my rules\r\nDate: x\r\n\r\nkeep;\r\n\r\nstop;\r\n";
        assert_eq!(
            split_message(message),
            Some((Text::from("my rules"), Text::from("keep;\r\n\r\nstop;\r\n")))
        );
        assert_eq!(split_message(b"Subject: x\r\n"), None);
        assert_eq!(split_message(b"From: x\r\n\r\nkeep;"), None);
    }
}
