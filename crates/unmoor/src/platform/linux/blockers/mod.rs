//! What keeps a drive busy.

mod mountline;
pub(crate) mod namespaces;
mod overlay;
mod patience;
mod propagation;
mod slow;
mod survey;
#[cfg(test)]
mod testbed;
