//! A message's bytes are those that its GUID names.

use super::{Checker, Commit};

/// Every message that becomes visible has its bytes, and they hash to its GUID. [CS-APPLY-11]
pub struct BytesHash;

impl Checker for BytesHash {
    fn name(&self) -> &'static str {
        "messages are what their GUIDs say"
    }

    fn committed(&mut self, commit: &Commit<'_>) -> Result<(), String> {
        for arrived in commit.arrived {
            match arrived.actual {
                Some(actual) if actual == arrived.guid => {}
                Some(actual) => {
                    return Err(format!(
                        "the bytes of message {} of {} hash to {actual}",
                        arrived.guid, commit.owner
                    ));
                }
                None => {
                    return Err(format!(
                        "message {} of {} has no bytes",
                        arrived.guid, commit.owner
                    ));
                }
            }
        }
        Ok(())
    }
}
