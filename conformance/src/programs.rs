//! Our own programs as child processes.
