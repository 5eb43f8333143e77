//! Table of tests, by what they are about.

mod devices;
mod ejection;
mod locks;
mod names;
mod recipe;

use crate::Test;

/// Every test, in the order of the table.
pub fn all() -> Vec<Test> {
    [recipe::tests(), locks::tests(), ejection::tests(), devices::tests(), names::tests()].concat()
}
