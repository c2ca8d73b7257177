//! The in-cluster API over real sockets: who may call, what is refused and how,
//! what a rewrite gives, and that the OpenAPI document says so.

mod anew;
mod auth;
mod client;
mod document;
mod downloads;
mod filters;
mod http2;
mod limits;
mod lists;
mod messages;
mod provisional;
mod refusals;
mod rewrite;
mod schema;
mod statistics;
mod stream;
mod world;
