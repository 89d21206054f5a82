//! Reports: text for a terminal, HTML to hand in. Both say the verdict first, and neither shows a number as a result when
//! there is no result.

mod chart;
mod compliance;
mod html;
mod page;
mod text;
mod usage;

pub use compliance::compliance;
pub use html::html;
pub use text::text;
