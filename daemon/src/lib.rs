//! What a long-running program does to its process before it works: who started it and what it was handed, as which
//! user it runs, how many files it may open, and who is told that it is ready.
#![forbid(unsafe_code)]
