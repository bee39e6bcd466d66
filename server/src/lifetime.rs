//! How long the program serves, where Cyrus's master starts another one when it is needed.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use net::server::{Connection, Notice};
use tokio::sync::watch;

use crate::cyrus_master::CyrusMaster;

/// Connections so far and now.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Counts {
    accepted: u64,
    open: u64,
}

/// Counts connections, and tells Cyrus's master of them.
pub(crate) fn counting(master: Option<Arc<CyrusMaster>>) -> (Notice, watch::Receiver<Counts>) {
    let (sender, receiver) = watch::channel(Counts::default());
    let notice = move |what| {
        if let Some(master) = &master {
            match what {
                Connection::Accepted => master.accepted(),
                Connection::NoMore => master.accepts_no_more(),
                Connection::Ended => {}
            }
        }
        sender.send_modify(|counts| match what {
            Connection::Accepted => {
                counts.accepted += 1;
                counts.open += 1;
            }
            Connection::Ended => counts.open -= 1,
            Connection::NoMore => {}
        });
    };
    (Arc::new(notice), receiver)
}

/// When it has been enough; what is `None` does not count.
#[derive(Debug, Default)]
pub(crate) struct Lifetime {
    /// After so many connections (`-U`). [CS-SVC-14]
    pub(crate) max_uses: Option<u64>,
    /// When for so long nobody is connected any more (`-T`). [CS-SVC-14]
    pub(crate) idle: Option<Duration>,
    /// When this file is not any more what it was: another version of the program was installed. [CS-SVC-14]
    pub(crate) program: Option<Program>,
}

impl Lifetime {
    /// Completes when it has been enough, and says why.
    pub(crate) async fn over(self, mut counts: watch::Receiver<Counts>) -> &'static str {
        loop {
            let now = *counts.borrow_and_update();
            if self.max_uses.is_some_and(|most| now.accepted >= most.max(1)) {
                return "it has served as many connections as -U allows";
            }
            if now.accepted > 0 && self.program.as_ref().is_some_and(Program::has_changed) {
                return "its program file has changed";
            }
            let idle = async {
                match self.idle {
                    Some(idle) if now.accepted > 0 && now.open == 0 => tokio::time::sleep(idle).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = counts.changed() => if changed.is_err() {
                    // The server is gone, and with it whoever would ask.
                    std::future::pending::<()>().await;
                },
                () = idle => return "nobody was connected for as long as -T allows",
            }
        }
    }
}

/// A program file as it was.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    was: Stamp,
}

/// Inode, bytes, time of the last change.
type Stamp = Option<(u64, u64, Option<SystemTime>)>;

impl Program {
    /// That of this process; `None` when the system does not say.
    pub(crate) fn running() -> Option<Program> {
        Program::at(std::env::current_exe().ok()?)
    }

    fn at(path: PathBuf) -> Option<Program> {
        let was = Some(stamp(&std::fs::metadata(&path).ok()?))?;
        Some(Program { path, was })
    }

    fn has_changed(&self) -> bool {
        let now = std::fs::metadata(&self.path).ok();
        now.and_then(|metadata| stamp(&metadata)) != self.was
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    Some((metadata.ino(), metadata.len(), metadata.modified().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_over_after_so_many_connections() {
        let (notice, counts) = counting(None);
        let lifetime = Lifetime {
            max_uses: Some(2),
            ..Lifetime::default()
        };
        let over = tokio::spawn(lifetime.over(counts));
        notice(Connection::Accepted);
        notice(Connection::Ended);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!over.is_finished());
        notice(Connection::Accepted);
        assert!(over.await.expect("no panic").contains("-U"));
    }

    #[tokio::test]
    async fn it_is_over_when_nobody_comes_back() {
        let (notice, counts) = counting(None);
        let lifetime = Lifetime {
            idle: Some(Duration::from_millis(5)),
            ..Lifetime::default()
        };
        let over = tokio::spawn(lifetime.over(counts));
        let longer = Duration::from_millis(50);
        tokio::time::sleep(longer).await;
        assert!(!over.is_finished(), "nobody has come yet");
        notice(Connection::Accepted);
        notice(Connection::Accepted);
        notice(Connection::Ended);
        tokio::time::sleep(longer).await;
        assert!(!over.is_finished(), "somebody is connected");
        notice(Connection::Ended);
        assert!(over.await.expect("no panic").contains("-T"));
    }

    #[tokio::test]
    async fn it_is_over_when_another_version_was_installed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("program");
        std::fs::write(&path, "one").expect("written");
        let lifetime = Lifetime {
            program: Program::at(path.clone()),
            ..Lifetime::default()
        };
        let (notice, counts) = counting(None);
        let over = tokio::spawn(lifetime.over(counts));
        notice(Connection::Accepted);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!over.is_finished());
        std::fs::write(folder.path().join("new"), "another").expect("written");
        std::fs::rename(folder.path().join("new"), &path).expect("replaced");
        notice(Connection::Ended);
        assert!(over.await.expect("no panic").contains("program file"));
    }
}
