//! As which user the process runs.

use std::ffi::CString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{self, Gid, Uid};
use rustix::fs::Access;

/// Why the process cannot run as it should. After an error of [`become_user`] the process has to end.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// No such user.
    #[error("there is no user `{0}` on this machine; correct the name, or create the user")]
    Unknown(String),
    /// Only root can become somebody else.
    #[error("cannot run as user {wanted}: the program was started by {own}; start it as root or as {wanted}")]
    NotRoot {
        /// As whom it should run.
        wanted: String,
        /// As whom it runs.
        own: String,
    },
    /// The user cannot work in a directory.
    #[error(
        "user {user} may not write in {}: {source}; give it to that user: chown -R {user} {}",
        path.display(),
        path.display()
    )]
    Directory {
        /// The user.
        user: String,
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused a step.
    #[error("cannot become user {user}: {step}: {source}")]
    Step {
        /// The user.
        user: String,
        /// Which step.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The process could become root again, or has more than one thread; neither should happen.
    #[error("cannot become user {user} for good: {why}")]
    Unsafe {
        /// The user.
        user: String,
        /// Why.
        why: &'static str,
    },
}

/// A user of this machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// The login name, or the number where there is none.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// The group that the user belongs to first.
    pub gid: u32,
    /// Whether the system knows the name, and so further groups.
    known: bool,
}

impl User {
    /// The user of that name, or number.
    ///
    /// # Errors
    /// [`UserError::Unknown`].
    pub fn named(name: &str) -> Result<User, UserError> {
        let number = name.parse().ok();
        let found = match number {
            Some(uid) => unistd::User::from_uid(Uid::from_raw(uid)),
            None => unistd::User::from_name(name),
        };
        match found {
            Ok(Some(user)) => Ok(User {
                name: user.name,
                uid: user.uid.as_raw(),
                gid: user.gid.as_raw(),
                known: true,
            }),
            _ => Err(UserError::Unknown(name.to_owned())),
        }
    }

    /// Whom a file or directory belongs to; `None` when it is not there.
    pub fn owning(path: &Path) -> Option<User> {
        let metadata = std::fs::metadata(path).ok()?;
        let (uid, gid) = (metadata.uid(), metadata.gid());
        Some(User::named(&uid.to_string()).unwrap_or_else(|_| User {
            name: uid.to_string(),
            uid,
            gid,
            known: false,
        }))
    }

    /// As whom this process runs.
    pub fn own() -> User {
        let (uid, gid) = (Uid::effective().as_raw(), Gid::effective().as_raw());
        User::named(&uid.to_string()).unwrap_or_else(|_| User {
            name: uid.to_string(),
            uid,
            gid,
            known: false,
        })
    }

    /// Whether it is the superuser.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }
}

/// What decides as which user a program runs that was started by root.
#[derive(Clone, Copy, Debug)]
pub struct Wishes<'a> {
    /// The configuration's own word, `mailtwin_user`.
    pub configured: Option<&'a str>,
    /// The store's directory; it may not exist yet.
    pub store: &'a Path,
    /// Cyrus's user, from the environment or the configuration.
    pub cyrus: Option<&'a str>,
    /// The directory beside which the store will be made.
    pub beside: Option<&'a Path>,
}

/// As whom to run. Whoever is not root stays who they are. Root becomes, first match: the configured user; the owner of
/// the store, so that its files never belong to two; for a store that is still to be made, Cyrus's user, then the owner of
/// `configdirectory`; else it stays root. [CS-SVC-18]
///
/// # Errors
/// An unknown user, or a configured one that this process cannot become.
pub fn choose(own: User, wishes: Wishes) -> Result<User, UserError> {
    let configured = wishes.configured.map(User::named).transpose()?;
    match configured {
        Some(wanted) if own.is_root() || wanted.uid == own.uid => return Ok(wanted),
        Some(wanted) => {
            return Err(UserError::NotRoot {
                wanted: wanted.name,
                own: own.name,
            });
        }
        None if !own.is_root() => return Ok(own),
        None => {}
    }
    if let Some(owner) = User::owning(wishes.store) {
        return Ok(owner);
    }
    if let Some(cyrus) = wishes.cyrus {
        return User::named(cyrus);
    }
    let neighbour = wishes.beside.and_then(User::owning);
    Ok(neighbour.unwrap_or(own))
}

/// Makes a directory for `user`, readable by nobody else, unless there is something of that name already.
///
/// # Errors
/// [`UserError::Step`].
pub fn make_directory(user: &User, path: &Path) -> Result<(), UserError> {
    if path.exists() {
        return Ok(());
    }
    let failed = |source| UserError::Directory {
        user: user.name.clone(),
        path: path.to_path_buf(),
        source,
    };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let mut builder = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(failed)?;
    std::os::unix::fs::lchown(path, Some(user.uid), Some(user.gid)).map_err(failed)
}

/// Becomes `user` for good: groups, group, user, and then proves that there is no way back. Nothing happens when the process
/// is that user already. To be called while the process has one thread.
///
/// # Errors
/// The process then is neither the one nor the other and has to end.
pub fn become_user(user: &User) -> Result<(), UserError> {
    let step = |step: &'static str| {
        let user = user.name.clone();
        move |errno: nix::Error| UserError::Step {
            user,
            step,
            source: errno.into(),
        }
    };
    let unsafe_because = |why| UserError::Unsafe {
        user: user.name.clone(),
        why,
    };
    if Uid::effective().as_raw() == user.uid && Uid::current().as_raw() == user.uid {
        return Ok(());
    }
    if threads() != Some(1) {
        return Err(unsafe_because("the process has more than one thread"));
    }
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    match CString::new(user.name.as_str()) {
        Ok(name) if user.known => unistd::initgroups(&name, gid).map_err(step("setting its groups"))?,
        _ => unistd::setgroups(&[gid]).map_err(step("setting its group"))?,
    }
    unistd::setresgid(gid, gid, gid).map_err(step("setting its group id"))?;
    unistd::setresuid(uid, uid, uid).map_err(step("setting its user id"))?;
    let now = unistd::getresuid().map_err(step("asking for the user id"))?;
    if [now.real, now.effective, now.saved] != [uid; 3] {
        return Err(unsafe_because("the system did not set all user ids"));
    }
    if !uid.is_root() && unistd::setuid(Uid::from_raw(0)).is_ok() {
        return Err(unsafe_because("it could become root again"));
    }
    Ok(())
}

/// Proves that the process can work in a directory that exists.
///
/// # Errors
/// [`UserError::Directory`].
pub fn can_write(user: &User, path: &Path) -> Result<(), UserError> {
    match rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        Err(error) if error != rustix::io::Errno::NOENT => Err(UserError::Directory {
            user: user.name.clone(),
            path: path.to_path_buf(),
            source: error.into(),
        }),
        _ => Ok(()),
    }
}

/// How many threads the process has; `None` when the system does not say.
fn threads() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/task").ok()?.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(uid: u32) -> User {
        User {
            name: format!("user{uid}"),
            uid,
            gid: uid,
            known: false,
        }
    }

    #[test]
    fn names_and_numbers() {
        let root = User::named("root").expect("every machine has one");
        assert_eq!(User::named("0").expect("the same"), root);
        assert!(root.is_root());
        for unknown in ["", "no such user", "4294967294", "-1"] {
            assert!(
                matches!(User::named(unknown), Err(UserError::Unknown(_))),
                "{unknown}"
            );
        }
    }

    #[test]
    fn who_is_not_root_stays_who_they_are() {
        let wishes = Wishes {
            configured: None,
            store: Path::new("/"),
            cyrus: Some("root"),
            beside: None,
        };
        assert_eq!(choose(user(77), wishes).expect("no change"), user(77));
        let wishes = Wishes {
            configured: Some("root"),
            ..wishes
        };
        let error = choose(user(77), wishes).expect_err("only root can");
        assert_eq!(
            error.to_string(),
            "cannot run as user root: the program was started by user77; start it as root or as root"
        );
    }

    #[test]
    fn roots_choice() {
        let root = User::named("root").expect("there");
        let nobody = User::named("nobody").expect("there");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        let none = path.join("none");
        let chosen = |wishes| choose(root.clone(), wishes).map(|user| user.name);
        let all = Wishes {
            configured: Some("nobody"),
            store: path,
            cyrus: Some("no such user"),
            beside: Some(path),
        };
        assert_eq!(chosen(all).expect("as configured"), "nobody");
        let owner = User::owning(path).expect("there").name;
        let unset = Wishes {
            configured: None,
            ..all
        };
        assert_eq!(chosen(unset).expect("the store's owner"), owner);
        let new = Wishes {
            store: &none,
            ..unset
        };
        assert!(matches!(chosen(new), Err(UserError::Unknown(_))));
        let cyrus = Some(nobody.name.as_str());
        assert_eq!(chosen(Wishes { cyrus, ..new }).expect("Cyrus's"), "nobody");
        assert_eq!(
            chosen(Wishes { cyrus: None, ..new }).expect("the neighbour's"),
            owner
        );
        let alone = Wishes {
            cyrus: None,
            beside: None,
            ..new
        };
        assert_eq!(chosen(alone).expect("nobody to follow"), "root");
    }

    #[test]
    fn becoming_oneself_is_nothing_and_with_threads_nobody_else() {
        assert!(become_user(&User::own()).is_ok());
        let other = user(User::own().uid + 1);
        let error = become_user(&other).expect_err("the test's harness has threads");
        assert!(matches!(error, UserError::Unsafe { .. }), "{error}");
        assert_eq!(User::own().uid, Uid::effective().as_raw());
    }

    #[test]
    fn a_directory_is_made_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/b");
        let own = User::own();
        make_directory(&own, &path).expect("made");
        make_directory(&own, &path).expect("there");
        assert_eq!(std::fs::metadata(&path).expect("there").mode() & 0o777, 0o700);
        can_write(&own, &path).expect("it is ours");
        can_write(&own, &folder.path().join("none")).expect("to be made later");
    }
}
