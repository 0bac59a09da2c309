//! Events in columns: what the doorway between `ingest` and everything behind it carries.

mod batch;
mod bitmap;
mod column;
mod zone;

pub use batch::Batch;
pub use bitmap::Bitmap;
pub use column::{Column, TextColumn, Value, Values, equal};
pub use zone::{DAY_US, Date, DayZone, date, parse_date, timestamp};
