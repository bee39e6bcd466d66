//! How many files the process may have open at a time.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit is too low and may not be raised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{needed} files may be open at a time, but the system allows {allowed}")]
pub struct TooFew {
    /// What was asked for.
    pub needed: u64,
    /// What there is now.
    pub allowed: u64,
}

/// Sees to it that `needed` files can be open at a time: raises the limit if it is lower, and the limit of the limit where
/// the process may.
///
/// # Errors
/// The limit cannot be raised so far; it is as high as it may be.
pub fn allow(needed: u64) -> Result<(), TooFew> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
    if enough(current) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(needed),
        maximum: if enough(maximum) { maximum } else { Some(needed) },
    };
    if setrlimit(Resource::Nofile, raised).is_ok() {
        return Ok(());
    }
    let most = Rlimit {
        current: maximum,
        maximum,
    };
    // If even that is refused, the old limit stays and is told.
    let _ = setrlimit(Resource::Nofile, most);
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    Err(TooFew { needed, allowed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_is_raised() {
        let before = getrlimit(Resource::Nofile);
        let low = Rlimit {
            current: Some(256),
            maximum: before.maximum,
        };
        setrlimit(Resource::Nofile, low).expect("lower is always allowed");
        assert_eq!(allow(100), Ok(()));
        assert_eq!(getrlimit(Resource::Nofile).current, Some(256));
        assert_eq!(allow(300), Ok(()));
        assert_eq!(getrlimit(Resource::Nofile).current, Some(300));
        // More than any system's fs.nr_open.
        let error = allow(1 << 40).expect_err("nobody may");
        assert_eq!(error.needed, 1 << 40);
        assert_eq!(Some(error.allowed), before.maximum);
    }
}
