//! Users in real sessions of systemd-logind: at the desk (seat0, active), and far away, as over ssh.
//!
//! One situation is one test. The services run on between two tests, since they take longest.

mod rows;
mod seat;
mod special;

pub use rows::TESTS as ROWS;
pub use special::TESTS as SPECIAL;
