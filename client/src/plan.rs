//! What was decided where both sides had changed, and what a dry run would do: for people, and as JSON for programs.
//!
//! Both go to stdout as they come, so that a run of any length needs no memory for them. `--json` makes one object a line,
//! each with a `type`: `decision`, `plan`, `notice`, `failure`, and at the end `summary`.

use std::io::Write as _;

use engine::Master;
use engine::master::{Decision, Ending, Findings, Planned, PlannedWhat, Progress};
use protocol::Guid;
use serde_json::{Map, Value, json};

use crate::args::Args;

/// Prints findings while a run goes on.
pub(crate) struct Printer {
    json: bool,
    dry_run: bool,
    verbose: bool,
}

impl Printer {
    /// As the arguments say: decisions are always in the JSON, and for people in dry runs and with `-v`.
    pub(crate) fn new(args: &Args) -> Self {
        Printer {
            json: args.json,
            dry_run: args.dry_run,
            verbose: args.verbose > 0,
        }
    }

    /// Called whenever the master waits.
    pub(crate) fn observe(&self, master: &Master) {
        self.print(&master.take_findings());
    }

    /// Prints the rest, and with `--json` what else there is to say of the run.
    pub(crate) fn finish(&self, progress: &mut Progress) {
        let lost = progress.decisions.lost + progress.plan.lost;
        self.print(&progress.take_findings());
        if lost > 0 {
            crate::say(format_args!(
                "sync_client: {lost} decisions or planned steps came faster than they could be printed, and are not shown\n"
            ));
        }
        if !self.json {
            return;
        }
        for notice in &progress.notices {
            put(&json!({"type": "notice", "text": notice}).to_string());
        }
        for failure in &progress.failures {
            put(&json!({"type": "failure", "item": failure.item, "reason": failure.reason}).to_string());
        }
        put(&json!({
            "type": "summary",
            "dry_run": self.dry_run,
            "ended": progress.ended.as_ref().map_or("stopped", ended),
            "reason": progress.ended.as_ref().and_then(reason),
            "items": progress.items_done,
            "mailboxes": progress.mailboxes,
            "mailboxes_sent": progress.mailboxes_sent,
            "messages_sent": progress.messages_sent,
            "message_bytes_sent": progress.message_bytes_sent,
            "records_sent": progress.records_sent,
            "failures": progress.failures.len(),
        })
        .to_string());
    }

    /// Prints what was found.
    pub(crate) fn print(&self, findings: &Findings) {
        for planned in &findings.plan {
            if self.json {
                put(&plan_json(planned).to_string());
            } else {
                put(&plan_line(planned));
            }
        }
        for decision in &findings.decisions {
            if self.json {
                put(&decision_json(decision).to_string());
            } else if self.dry_run || self.verbose {
                put(&decision.to_string());
            } else {
                tracing::info!("{decision}");
            }
        }
    }
}

/// How a run ended, in a word for programs.
fn ended(ending: &Ending) -> &'static str {
    match ending {
        Ending::Done => "done",
        Ending::SomeFailed => "some_failed",
        Ending::AuthenticationFailed(_) => "authentication_failed",
        Ending::TlsFailed(_) => "tls_failed",
        Ending::CompressionUnavailable(_) => "compression_unavailable",
        Ending::ConnectionLost(_) => "connection_lost",
        Ending::Storage(_) => "storage_failed",
        Ending::Stopped => "stopped",
    }
}

/// Why, where there is more to say.
fn reason(ending: &Ending) -> Option<&str> {
    match ending {
        Ending::Done | Ending::SomeFailed | Ending::Stopped => None,
        Ending::AuthenticationFailed(text)
        | Ending::TlsFailed(text)
        | Ending::CompressionUnavailable(text)
        | Ending::ConnectionLost(text)
        | Ending::Storage(text) => Some(text),
    }
}

/// A closed stdout changes nothing about the run.
fn put(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{}", net::shown::tame(line));
}

fn decision_json(decision: &Decision) -> Value {
    let mut object = Map::new();
    object.insert("type".into(), "decision".into());
    object.insert("mailbox".into(), decision.mailbox.to_string().into());
    object.insert("uniqueid".into(), decision.uniqueid.to_string().into());
    if let Some(uid) = decision.uid {
        object.insert("uid".into(), uid.into());
    }
    if let Some(guid) = &decision.guid {
        object.insert("guid".into(), hex(guid).into());
    }
    object.insert("rule".into(), decision.rule.into());
    object.insert("what".into(), decision.what.word().into());
    if let Some(uid) = decision.what.new_uid() {
        object.insert("new_uid".into(), uid.into());
    }
    object.insert("text".into(), decision.what.to_string().into());
    Value::Object(object)
}

fn hex(guid: &Guid) -> String {
    guid.to_string()
}

fn plan_json(planned: &Planned) -> Value {
    let mut object = Map::new();
    object.insert("type".into(), "plan".into());
    object.insert("user".into(), planned.user.to_string().into());
    object.insert("about".into(), planned.about.to_string().into());
    object.insert("what".into(), planned.what.word().into());
    let mut number = |key: &str, value: u64| object.insert(key.to_owned(), value.into());
    match &planned.what {
        PlannedWhat::RenameMailbox { from } => {
            object.insert("from".into(), from.to_string().into());
        }
        PlannedWhat::MoveMailbox { partition } => {
            object.insert("partition".into(), partition.to_string().into());
        }
        PlannedWhat::SendMailbox {
            records,
            messages,
            bytes,
            changed,
            expunged,
        } => {
            number("records", *records);
            number("messages", *messages);
            number("bytes", *bytes);
            number("changed", *changed);
            number("expunged", *expunged);
        }
        PlannedWhat::MergeMailbox {
            here,
            fetched,
            fetched_bytes,
            expunged_there,
        } => {
            number("records_changed_here", *here);
            number("messages_fetched", *fetched);
            number("bytes_fetched", *fetched_bytes);
            number("expunged_there", *expunged_there);
        }
        _ => {}
    }
    Value::Object(object)
}

fn plan_line(planned: &Planned) -> String {
    let about = &planned.about;
    match &planned.what {
        PlannedWhat::CreateMailbox => format!("{about}: create on the replica"),
        PlannedWhat::RenameMailbox { from } => format!("{about}: rename on the replica, where it is {from}"),
        PlannedWhat::MoveMailbox { partition } => {
            format!("{about}: move to partition {partition} on the replica")
        }
        PlannedWhat::DeleteMailbox => format!("{about}: delete on the replica"),
        PlannedWhat::SendMailbox {
            records,
            messages,
            bytes,
            changed,
            expunged,
        } => format!(
            "{about}: send {records} records with at most {messages} messages ({bytes} bytes); {changed} change and {expunged} \
             are expunged on the replica"
        ),
        PlannedWhat::MergeMailbox {
            here,
            fetched,
            fetched_bytes,
            expunged_there,
        } => format!(
            "{about}: both sides changed; {here} records change here, {fetched} messages ({fetched_bytes} bytes) come here, \
             {expunged_there} are expunged on the replica"
        ),
        PlannedWhat::PutQuota => format!("{about}: set quota limits on the replica"),
        PlannedWhat::RemoveQuota => format!("{about}: remove the quota root on the replica"),
        PlannedWhat::Subscribe => format!("{}: subscribe to {about} on the replica", planned.user),
        PlannedWhat::Unsubscribe => format!("{}: unsubscribe from {about} on the replica", planned.user),
        PlannedWhat::Seen => format!("{}: send the seen state of mailbox id {about}", planned.user),
        PlannedWhat::PutScript => format!("{}: send sieve script {about}", planned.user),
        PlannedWhat::RemoveScript => format!("{}: remove sieve script {about} on the replica", planned.user),
        PlannedWhat::ActivateScript => {
            format!("{}: activate sieve script {about} on the replica", planned.user)
        }
        PlannedWhat::DeactivateScript => {
            format!("{}: leave no sieve script active on the replica", planned.user)
        }
        PlannedWhat::PutAnnotation => format!("annotation {about} of the server: set on the replica"),
        PlannedWhat::RemoveAnnotation => format!("annotation {about} of the server: remove on the replica"),
        PlannedWhat::RemoveUser => format!("{about}: remove what is left of the user on the replica"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::master::Deed;
    use protocol::Text;

    #[test]
    fn a_decision_as_json() {
        let decision = Decision {
            mailbox: Text::from("user.jane"),
            uniqueid: Text::from("u1"),
            uid: Some(5),
            guid: Some(Guid::from_bytes([0xab; 20])),
            rule: "CS-MASTER-46",
            what: Deed::CopyBack { new_uid: 9 },
        };
        let object = decision_json(&decision);
        assert_eq!(object["rule"], "CS-MASTER-46");
        assert_eq!(object["what"], "copy_back");
        assert_eq!(
            (object["uid"].as_u64(), object["new_uid"].as_u64()),
            (Some(5), Some(9))
        );
        assert_eq!(object["guid"], "ab".repeat(20));
    }

    #[test]
    fn a_planned_step_for_people_and_programs() {
        let planned = Planned {
            user: Text::from("jane"),
            about: Text::from("user.jane.a"),
            what: PlannedWhat::SendMailbox {
                records: 3,
                messages: 2,
                bytes: 70,
                changed: 1,
                expunged: 0,
            },
        };
        assert_eq!(
            plan_line(&planned),
            "user.jane.a: send 3 records with at most 2 messages (70 bytes); 1 change and 0 are expunged on the replica"
        );
        let object = plan_json(&planned);
        assert_eq!(
            (&object["what"], object["bytes"].as_u64()),
            (&Value::from("send_mailbox"), Some(70))
        );
    }
}
