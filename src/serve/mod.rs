//! The doors for questions: [`socket`] over ZeroMQ, with [`respond`] for what is said there and
//! [`outbox`] for clients that read more slowly than they ask.

pub mod outbox;
pub mod respond;
pub mod socket;

pub use respond::Responder;
pub use socket::QuerySocket;
