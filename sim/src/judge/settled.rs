//! At the end all are equal.

use super::{Checker, End, ScopeView};
use crate::plan::HOST_NAMES;

/// When all is calm and nothing is left to do, servers that replicate to each other show the same, as far as a master can
/// see.
pub struct Settled;

impl Checker for Settled {
    fn name(&self) -> &'static str {
        "in the end all are equal"
    }

    fn settled(&mut self, end: &End<'_>) -> Result<(), String> {
        let empty = ScopeView::default();
        let two_masters = end.equal.iter().any(|(from, to, _)| {
            end.equal
                .iter()
                .any(|(other, back, _)| (other, back) == (to, from))
        });
        for (from, to, extra) in end.equal {
            let owners = end.views.keys().filter(|(host, _)| host == from || host == to);
            for (_, owner) in owners {
                let view = |host: usize| {
                    let view = end.views.get(&(host, owner.clone()));
                    view.map_or(&empty, |view| view.as_ref())
                };
                // A replica makes no mailbox of a user without INBOX: what one from a backup has lost of such a user stays lost,
                // and a run that is asked for it fails. [CS-MBOX-36]
                if !owner.is_empty() && end.restored.contains(to) && view(*from).has_no_inbox() {
                    continue;
                }
                if let Some(difference) = view(*from).visible_difference(view(*to), *extra, two_masters) {
                    return Err(format!(
                        "{owner} on {} and {}: {difference}",
                        HOST_NAMES[*from], HOST_NAMES[*to]
                    ));
                }
            }
        }
        Ok(())
    }
}
