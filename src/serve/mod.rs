//! The doors for questions: [`socket`] over ZeroMQ, with [`respond`] for what is said there,
//! [`clients`] for who is there, and [`outbox`] for those that read more slowly than they ask.

pub mod clients;
pub mod outbox;
pub mod respond;
pub mod socket;

pub use respond::Responder;
pub use socket::QuerySocket;
