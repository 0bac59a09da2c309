//! Questions: what was asked ([`request`], with values as written, [`literal`]), what it means
//! ([`plan`]), how rows are gathered from live shards and stored days alike ([`gather`]) and made
//! an answer ([`engine`]), and what comes back ([`reply`], with what [`folded`] tells);
//! [`sets`] asks several questions at once and puts their sets together.

mod deadline;
pub mod engine;
pub mod folded;
pub mod gather;
pub mod known;
pub mod literal;
pub mod plan;
pub mod reply;
pub mod request;
pub mod sets;

pub use engine::Engine;
pub use reply::{Answer, Failure};
pub use request::{Question, SetQuestion};
pub use sets::SetAnswer;
