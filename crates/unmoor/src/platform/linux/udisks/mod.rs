//! Releases for a user who is not root: udisks2 makes the privileged calls.
//!
//! | question | module |
//! |---|---|
//! | How is a method of the system bus called, with a deadline? | [`bus`] |
//! | Which methods and properties of udisks2 are used? | [`objects`] |
//! | May this user do it (polkit)? | [`polkit`] |
//! | Which program or service takes each mount and level down? | [`route`] |
//! | Which of udisks2, fstab and FUSE has mounted it? | [`mount_owner`] |
//! | How are `umount` and `fusermount3` run? | [`unmount_program`] |
//! | How does a release use all that? | [`session`] |
//!
//! Flush, search for blockers, identity checks and verification stay those of an ordinary session. udisks2 makes
//! only the calls that need root: Filesystem.Unmount (never with its `force`, which is a lazy
//! unmount), Encrypted.Lock, Loop.Delete, Drive.Eject, Drive.PowerOff
//! (<https://storaged.org/doc/udisks2-api/latest/>).

pub(crate) mod bus;
pub(crate) mod mount_owner;
pub(crate) mod objects;
pub(crate) mod polkit;
pub(crate) mod route;
pub(crate) mod session;
pub(crate) mod unmount_program;
