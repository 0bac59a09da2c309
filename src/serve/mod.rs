//! The doors for questions: [`socket`] over ZeroMQ, with [`respond`] for what is said there.

pub mod respond;
pub mod socket;

pub use respond::Responder;
pub use socket::QuerySocket;
