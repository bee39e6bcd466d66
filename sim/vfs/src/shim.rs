//! The SQLite VFS: C calls turned into calls of [`Handle`] and back. The only unsafe code of the simulator.
//!
//! SQLite promises (sqlite.org, "OS Interface Object" and "OS Interface File Virtual Methods Object"): names end in a zero
//! byte and live for the call; buffers have the length that goes with them and are nobody else's for the call; a file
//! object has [`sqlite3_vfs::szOsFile`] bytes, is given to `xOpen` first and to nothing after `xClose`, and is used by one
//! thread at a time. Each block below leans on these and on nothing else.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;
use std::sync::Once;

use rusqlite::ffi::{self, sqlite3_file, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs};

use crate::disk::Disk;
use crate::fault::Fault;
use crate::handle::{self, Handle, Purpose, Refusal};

/// What SQLite takes for a file. A closed one has no methods.
#[repr(C)]
struct File {
    base: sqlite3_file,
    /// From `Box::into_raw`, until `close` takes it back.
    handle: *mut Handle,
}

/// Makes the VFS known to SQLite, once a process. It is never taken away.
pub(crate) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let vfs = Box::leak(Box::new(sqlite3_vfs {
            iVersion: 2,
            szOsFile: size_of::<File>() as c_int,
            mxPathname: 1024,
            pNext: ptr::null_mut(),
            zName: NAME.as_ptr(),
            pAppData: ptr::null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: None,
            xCurrentTimeInt64: Some(current_time_int64),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        }));
        // SAFETY: the object lives for ever, and its functions have the types and keep the promises of the interface.
        let done = unsafe { ffi::sqlite3_vfs_register(vfs, 0) };
        assert_eq!(done, ffi::SQLITE_OK, "SQLite takes a VFS unless it has no memory");
    });
}

/// [`crate::VFS`] for C.
const NAME: &CStr = c"mailtwin-sim";

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// The answer for a refusal, in the words of SQLite's own VFS for Unix.
fn code(refusal: Refusal, io: c_int) -> c_int {
    match refusal {
        Refusal::Busy => ffi::SQLITE_BUSY,
        Refusal::Missing => ffi::SQLITE_CANTOPEN,
        Refusal::Fault(Fault::Io | Fault::Short) => io,
        // A sync, or a file that grows for mapping, has no other word for it.
        Refusal::Fault(Fault::Full) if io == ffi::SQLITE_IOERR_WRITE => ffi::SQLITE_FULL,
        Refusal::Fault(Fault::Full) => io,
    }
}

fn answer(done: Result<(), Refusal>, io: c_int) -> c_int {
    done.map_or_else(|refusal| code(refusal, io), |()| ffi::SQLITE_OK)
}

/// A path of SQLite's: not null, and zero-terminated.
///
/// # Safety
/// It is one.
unsafe fn path<'a>(name: *const c_char) -> Option<&'a Path> {
    // SAFETY: the caller's promise.
    let name = unsafe { CStr::from_ptr(name) };
    name.to_str().ok().map(Path::new)
}

/// The handle of an open file.
///
/// # Safety
/// `open` said yes to the file and `close` was not called; nobody else works with it.
unsafe fn handle<'a>(file: *mut sqlite3_file) -> &'a mut Handle {
    // SAFETY: SQLite gives back the object that `open` filled, and `handle` in it came from `Box::into_raw`.
    unsafe { &mut *(*file.cast::<File>()).handle }
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let file = file.cast::<File>();
    // SAFETY: SQLite gives `szOsFile` bytes for it. Without methods it will not be closed.
    unsafe { (*file).base.pMethods = ptr::null() };
    let create = flags & ffi::SQLITE_OPEN_CREATE != 0;
    let is_journal = flags & (ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_WAL) != 0;
    let purpose = Purpose {
        create,
        names_too: create && is_journal,
        fleeting: flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0,
    };
    let opened = if name.is_null() {
        Handle::scratch(&handle::elsewhere().0)
    } else {
        // SAFETY: a name of SQLite's that is not null.
        match unsafe { path(name) }.and_then(Disk::of) {
            Some((disk, path)) => Handle::open(&disk, &path, purpose),
            None => Err(Refusal::Missing),
        }
    };
    match opened {
        Ok(handle) => {
            // SAFETY: as above; `out_flags` may be null and is looked at for that.
            unsafe {
                (*file).handle = Box::into_raw(Box::new(handle));
                (*file).base.pMethods = &METHODS;
                if !out_flags.is_null() {
                    *out_flags = flags;
                }
            }
            ffi::SQLITE_OK
        }
        Err(refusal) => code(refusal, ffi::SQLITE_CANTOPEN),
    }
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync_dir: c_int) -> c_int {
    // SAFETY: a name of SQLite's.
    let Some((disk, path)) = unsafe { path(name) }.and_then(Disk::of) else {
        return ffi::SQLITE_IOERR_DELETE_NOENT;
    };
    match handle::remove(&disk, &path, sync_dir & 1 != 0) {
        Err(Refusal::Missing) => ffi::SQLITE_IOERR_DELETE_NOENT,
        done => answer(done, ffi::SQLITE_IOERR_DELETE),
    }
}

unsafe extern "C" fn access(_: *mut sqlite3_vfs, name: *const c_char, _: c_int, out: *mut c_int) -> c_int {
    // SAFETY: a name of SQLite's.
    let found = match unsafe { path(name) }.and_then(Disk::of) {
        Some((disk, path)) => handle::is_there(&disk, &path),
        None => Ok(false),
    };
    // The system's call has no other answer than yes and no.
    let is_there = found.unwrap_or_default();
    // SAFETY: SQLite wants the answer there.
    unsafe { *out = c_int::from(is_there) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: a name of SQLite's.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes_with_nul();
    if name.len() > room as usize {
        return ffi::SQLITE_CANTOPEN;
    }
    // All paths of the store are absolute already. SAFETY: `out` has room for `room` bytes, and is not the name.
    unsafe { ptr::copy_nonoverlapping(name.as_ptr().cast(), out, name.len()) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn randomness(_: *mut sqlite3_vfs, len: c_int, out: *mut c_char) -> c_int {
    // SQLite asks its default VFS, which this is not. SAFETY: `out` has `len` bytes.
    unsafe { ptr::write_bytes(out, 0, len as usize) };
    len
}

unsafe extern "C" fn sleep(_: *mut sqlite3_vfs, microseconds: c_int) -> c_int {
    microseconds
}

/// 2023-11-14 22:13:20 UTC in milliseconds of the Julian day.
const NOW_MS: sqlite3_int64 = 212_567_854_400_000;

unsafe extern "C" fn current_time(_: *mut sqlite3_vfs, out: *mut f64) -> c_int {
    // SAFETY: SQLite wants the answer there.
    unsafe { *out = NOW_MS as f64 / 86_400_000.0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn current_time_int64(_: *mut sqlite3_vfs, out: *mut sqlite3_int64) -> c_int {
    // SAFETY: SQLite wants the answer there.
    unsafe { *out = NOW_MS };
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let file = file.cast::<File>();
    // SAFETY: an open file, which is used for the last time; its handle came from `Box::into_raw`.
    unsafe {
        drop(Box::from_raw((*file).handle));
        (*file).handle = ptr::null_mut();
        (*file).base.pMethods = ptr::null();
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    into: *mut c_void,
    len: c_int,
    at: sqlite3_int64,
) -> c_int {
    // SAFETY: `into` has `len` bytes that are ours for the call; they are set before they are looked at.
    let into = unsafe {
        ptr::write_bytes(into.cast::<u8>(), 0, len as usize);
        std::slice::from_raw_parts_mut(into.cast::<u8>(), len as usize)
    };
    // SAFETY: an open file.
    let file = unsafe { handle(file) };
    // As SQLite's own VFS does, until it is all or nothing comes any more.
    let mut done = 0;
    while done < into.len() {
        match file.read(at as usize + done, &mut into[done..]) {
            Ok(0) => return ffi::SQLITE_IOERR_SHORT_READ,
            Ok(read) => done += read,
            Err(refusal) => return code(refusal, ffi::SQLITE_IOERR_READ),
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    data: *const c_void,
    len: c_int,
    at: sqlite3_int64,
) -> c_int {
    // SAFETY: `data` has `len` bytes that do not change during the call.
    let data = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len as usize) };
    // SAFETY: an open file.
    answer(
        unsafe { handle(file) }.write(at as usize, data),
        ffi::SQLITE_IOERR_WRITE,
    )
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, len: sqlite3_int64) -> c_int {
    // SAFETY: an open file.
    let file = unsafe { handle(file) };
    answer(file.truncate(len as usize), ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, _: c_int) -> c_int {
    // SAFETY: an open file.
    answer(unsafe { handle(file) }.sync(), ffi::SQLITE_IOERR_FSYNC)
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, out: *mut sqlite3_int64) -> c_int {
    // SAFETY: an open file.
    match unsafe { handle(file) }.len() {
        Ok(len) => {
            // SAFETY: SQLite wants the answer there.
            unsafe { *out = len as sqlite3_int64 };
            ffi::SQLITE_OK
        }
        Err(refusal) => code(refusal, ffi::SQLITE_IOERR_FSTAT),
    }
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file.
    answer(unsafe { handle(file) }.lock(level), ffi::SQLITE_IOERR_LOCK)
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file.
    unsafe { handle(file) }.unlock(level);
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(file: *mut sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: an open file; SQLite wants the answer in `out`.
    unsafe { *out = c_int::from(handle(file).is_reserved()) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(file: *mut sqlite3_file, what: c_int, argument: *mut c_void) -> c_int {
    if what != ffi::SQLITE_FCNTL_HAS_MOVED {
        return ffi::SQLITE_NOTFOUND;
    }
    // SAFETY: an open file; the argument of this control is an int for the answer.
    unsafe { *argument.cast::<c_int>() = c_int::from(handle(file).has_moved()) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn sector_size(_: *mut sqlite3_file) -> c_int {
    4096
}

/// As SQLite's own VFS for Unix has it: a write that is torn leaves the bytes beside it alone.
unsafe extern "C" fn device_characteristics(_: *mut sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    region: c_int,
    bytes: c_int,
    make: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: an open file.
    let mapped = unsafe { handle(file) }.map(region as usize, bytes as usize, make != 0);
    let (region, done) = match mapped {
        Ok(region) => (region.unwrap_or(ptr::null()), ffi::SQLITE_OK),
        Err(refusal) => (ptr::null(), code(refusal, ffi::SQLITE_IOERR_SHMMAP)),
    };
    // The words are atomics: they may be written through a shared pointer. SAFETY: SQLite wants the answer there.
    unsafe { *out = region.cast_mut().cast() };
    done
}

unsafe extern "C" fn shm_lock(file: *mut sqlite3_file, first: c_int, count: c_int, flags: c_int) -> c_int {
    // SAFETY: an open file.
    let file = unsafe { handle(file) };
    let (first, count) = (first as usize, count as usize);
    if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
        file.give_slots(first, count);
        return ffi::SQLITE_OK;
    }
    let alone = flags & ffi::SQLITE_SHM_EXCLUSIVE != 0;
    answer(file.take_slots(first, count, alone), ffi::SQLITE_IOERR_SHMLOCK)
}

unsafe extern "C" fn shm_barrier(_: *mut sqlite3_file) {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, _: c_int) -> c_int {
    // SAFETY: an open file.
    unsafe { handle(file) }.unmap();
    ffi::SQLITE_OK
}
