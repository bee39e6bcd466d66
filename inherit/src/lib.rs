//! Descriptors that the process that started this one left open for it, at numbers that were agreed on.
//!
//! A number alone proves nothing to the compiler, so this takes the only `unsafe` block of the workspace.
#![deny(unsafe_code)]

use std::io;
use std::ops::Range;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

/// Descriptors below this are standard input, output and error; nobody hands over a socket there.
pub const FIRST: RawFd = 3;

/// A number at which no descriptor could be taken.
#[derive(Debug)]
pub struct Refused {
    /// The number.
    pub number: RawFd,
    /// `EBADF` when nothing is open there; `EMFILE` when there is no room for another descriptor.
    pub source: io::Error,
}

/// Copies of inherited descriptors, in the order of their numbers. Neither the copies nor the originals are passed on to
/// programs that this process starts. The originals stay open for as long as the process lives, as nothing proves that
/// nobody else uses them.
///
/// To be called early: a number at which nothing was inherited is soon taken by a file that the process opens itself.
///
/// # Errors
/// The first number below [`FIRST`], or at which nothing is open; no copy is made then. Or no room for the copies.
pub fn take(numbers: Range<RawFd>) -> Result<Vec<OwnedFd>, Refused> {
    // All are looked at before the first copy is made, for a copy could fill a gap among them.
    for number in numbers.clone() {
        let refused = |source| Refused { number, source };
        if number < FIRST {
            return Err(refused(io::Error::from(io::ErrorKind::InvalidInput)));
        }
        fcntl_setfd(inherited(number), FdFlags::CLOEXEC).map_err(|errno| refused(errno.into()))?;
    }
    let copy = |number| {
        fcntl_dupfd_cloexec(inherited(number), FIRST).map_err(|errno| Refused {
            number,
            source: errno.into(),
        })
    };
    numbers.map(copy).collect()
}

/// The descriptor of that number, which is not negative.
#[allow(unsafe_code)]
fn inherited(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: a borrowed descriptor must stay open while it is borrowed, and must not be -1. Nothing in the workspace closes
    // a descriptor that it does not own, and an inherited one has no owner, so it stays open. If nothing is open at the
    // number, the system calls in `take`, the only ones that get it, say so (EBADF) and touch no memory. `take` refuses
    // negative numbers.
    unsafe { BorrowedFd::borrow_raw(number) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use rustix::io::fcntl_getfd;

    use super::*;

    #[test]
    fn a_copy_works_and_neither_is_passed_on() {
        let (mut near, far) = UnixStream::pair().expect("a pair");
        fcntl_setfd(&far, FdFlags::empty()).expect("as if inherited");
        let number = far.as_raw_fd();
        let copy = take(number..number + 1).expect("it is open").remove(0);
        assert_ne!(copy.as_raw_fd(), far.as_raw_fd());
        assert_eq!(fcntl_getfd(&far).expect("open"), FdFlags::CLOEXEC);
        assert_eq!(fcntl_getfd(&copy).expect("open"), FdFlags::CLOEXEC);
        drop(far);
        UnixStream::from(copy).write_all(b"hello").expect("written");
        let mut said = String::new();
        near.read_to_string(&mut said).expect("text");
        assert_eq!(said, "hello");
    }

    #[test]
    fn numbers_at_which_nothing_is_open_are_refused() {
        for number in [1 << 20, RawFd::MAX - 1] {
            let refused = take(number..number + 1).expect_err("nothing is open there");
            assert_eq!(refused.number, number);
            let errno = rustix::io::Errno::BADF.raw_os_error();
            assert_eq!(refused.source.raw_os_error(), Some(errno));
        }
        for number in [-1, RawFd::MIN, 0, 2] {
            let refused = take(number..number + 1).expect_err("no");
            assert_eq!(refused.source.kind(), io::ErrorKind::InvalidInput, "{number}");
        }
        assert!(take(3..3).expect("nothing asked for").is_empty());
    }

    #[test]
    fn a_copy_does_not_fill_a_gap_that_is_then_taken_for_inherited() {
        let one = UnixStream::pair().expect("a pair").0;
        let high = rustix::io::fcntl_dupfd_cloexec(&one, 700).expect("a copy");
        let number = high.as_raw_fd();
        assert_eq!(take(number..RawFd::MAX).expect_err("a gap").number, number + 1);
    }
}
