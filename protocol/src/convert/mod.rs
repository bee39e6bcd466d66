//! Values to typed commands and replies, one module a family.

pub(crate) mod apply;
pub(crate) mod fields;
pub(crate) mod get;
pub(crate) mod mailbox;
pub(crate) mod response;
pub(crate) mod words;
