//! Drives the pool's policy with a virtual clock: through random events beside a model of what must
//! be true (`walk`), and step by step (`steps`).
#![allow(clippy::unwrap_used)]

mod driven;
mod random;
mod steps;
mod walk;
mod world;
