//! Tells a run: who said what to whom, what was stored, what failed, up to the broken rule.

mod html;
mod text;

pub use html::html;
pub use text::text;
