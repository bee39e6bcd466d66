//! `mailtwin quota`: limits that replicas are to know; this store itself enforces none.

use engine::local;
use engine::model::QuotaLimits;
use engine::name::Scope;
use serde::Serialize;

use super::args::{Limit, QuotaArgs};
use super::within;
use crate::access::Access;
use crate::failure::{Exit, Failure, Result};
use crate::{names, output};

/// A quota root as shown.
#[derive(Serialize)]
struct Row {
    root: String,
    storage_kib: Option<u32>,
    messages: Option<u32>,
    annotations_kib: Option<u32>,
    mailboxes: Option<u32>,
}

/// Shows, sets or removes.
pub fn run(access: &mut Access, args: &QuotaArgs) -> Result<()> {
    let root = names::anywhere(&args.root)?;
    let asked = [args.storage, args.messages, args.annotations, args.mailboxes];
    if !args.remove && asked.iter().all(Option::is_none) {
        return show(access, args);
    }
    within(access, &root, |access, _| {
        let existing = access.quotas(Scope::of(&root))?;
        let before = existing.iter().find(|quota| quota.root == root).cloned();
        if args.remove {
            let changes = if before.is_some() {
                local::remove_quota(root.clone())
            } else {
                Vec::new()
            };
            return Ok((changes, ()));
        }
        let mut limits = before.unwrap_or(QuotaLimits {
            root: root.clone(),
            ..QuotaLimits::default()
        });
        for (limit, field) in asked.into_iter().zip([
            &mut limits.storage,
            &mut limits.message,
            &mut limits.annotation_storage,
            &mut limits.num_folders,
        ]) {
            if let Some(Limit(value)) = limit {
                *field = value;
            }
        }
        Ok((local::put_quota(&existing, limits), ()))
    })?;
    if args.remove {
        return output::note(&format!("{root} has no quota"));
    }
    show(access, args)
}

fn show(access: &mut Access, args: &QuotaArgs) -> Result<()> {
    let root = names::anywhere(&args.root)?;
    let found = access
        .quotas(Scope::of(&root))?
        .into_iter()
        .find(|quota| quota.root == root);
    let quota = found.ok_or_else(|| Failure::new(Exit::NoInput, format!("{root} is no quota root")))?;
    let row = Row {
        root: quota.root.to_string(),
        storage_kib: quota.storage,
        messages: quota.message,
        annotations_kib: quota.annotation_storage,
        mailboxes: quota.num_folders,
    };
    if args.json {
        return output::print_json(&row);
    }
    let shown = |limit: Option<u32>| limit.map_or("none".to_owned(), |limit| limit.to_string());
    output::to_stdout(|out| {
        writeln!(
            out,
            "{}: storage {} KiB, messages {}, annotations {} KiB, mailboxes {}",
            names::printable(&row.root),
            shown(row.storage_kib),
            shown(row.messages),
            shown(row.annotations_kib),
            shown(row.mailboxes)
        )
    })
}
