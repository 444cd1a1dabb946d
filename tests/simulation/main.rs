//! Drives the pool's policy with a virtual clock: through random events beside a model of what must
//! be true (`walk`), step by step (`steps`), and through hours beside a modelled site (`scene`).
#![allow(clippy::unwrap_used)]

mod changing;
mod driven;
mod icinga2;
mod judging;
mod long_queries;
mod random;
mod reconnect;
mod scene;
mod serving;
mod slow_sites;
mod steps;
mod walk;
mod world;
