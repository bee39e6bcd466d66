//! Descriptors that the process that started this one left open for it, at numbers that were agreed on.
//!
//! A number alone proves nothing to the compiler, so this takes the only `unsafe` block of the workspace.
#![deny(unsafe_code)]

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

/// Descriptors below this are standard input, output and error; nobody hands over a socket there.
pub const FIRST: RawFd = 3;

/// A copy of an inherited descriptor. Neither the copy nor the original is passed on to programs that this process
/// starts. The original stays open for as long as the process lives, as nothing proves that nobody else uses it.
///
/// To be called early: a number at which nothing was inherited is soon taken by a file that the process opens itself.
///
/// # Errors
/// A number below [`FIRST`], or one at which nothing is open (`EBADF`), or no room for another descriptor (`EMFILE`).
#[allow(unsafe_code)]
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    if number < FIRST {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: a borrowed descriptor must stay open while it is borrowed. Nothing in the workspace closes a descriptor
    // that it does not own, and an inherited one has no owner, so it stays open. If nothing is open at the number, the
    // two system calls below say so (EBADF) and touch no memory. The number is not -1, which is checked above.
    let inherited = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_setfd(inherited, FdFlags::CLOEXEC)?;
    Ok(fcntl_dupfd_cloexec(inherited, FIRST)?)
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
        let copy = take(far.as_raw_fd()).expect("it is open");
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
        for number in [1 << 20, RawFd::MAX] {
            let error = take(number).expect_err("nothing is open there");
            assert_eq!(
                error.raw_os_error(),
                Some(rustix::io::Errno::BADF.raw_os_error()),
                "{number}"
            );
        }
        for number in [-1, RawFd::MIN, 0, 2] {
            assert_eq!(
                take(number).expect_err("no").kind(),
                io::ErrorKind::InvalidInput,
                "{number}"
            );
        }
    }
}
