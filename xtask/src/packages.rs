//! The Debian packages that each kind of work needs, as data.

/// Packages that one kind of work needs.
pub struct PackageSet {
    pub name: &'static str,
    pub why: &'static str,
    pub packages: &'static [&'static str],
    /// The least version of some of them.
    pub at_least: &'static [(&'static str, &'static str)],
}

/// The virtual machine, and what its guest tests call (the guest sees this machine's programs).
pub const VM: PackageSet = PackageSet {
    name: "vm",
    why: "the virtual machine with emulated drives, and the programs its tests compare with",
    packages: &[
        "qemu-system-x86",
        "busybox-static",
        "cpio",
        "kmod",
        "genisoimage",
        "dosfstools",
        "e2fsprogs",
        "exfatprogs",
        "btrfs-progs",
        "xfsprogs",
        "f2fs-tools",
        "udftools",
        "ntfs-3g",
        "cryptsetup-bin",
        "dmsetup",
        "lvm2",
        "mdadm",
        "mtools",
        "fdisk",
        "util-linux",
        "mount",
        "eject",
        "psmisc",
        "lsof",
        "strace",
        "qemu-utils",
        "nbd-client",
    ],
    at_least: &[],
};

/// The Windows program: Debian's compiler, whose standard library is built for Windows here, and Wine.
pub const WINDOWS: PackageSet = PackageSet {
    name: "windows",
    why: "the compiler and linkers for Windows, and Wine to run what they make",
    packages: &[
        "rustc-web",
        "cargo-web",
        "rust-web-src",
        "rust-web-clippy",
        "gcc-mingw-w64-x86-64",
        "gcc-mingw-w64-i686",
        "binutils",
        "wine",
        "wine64",
    ],
    // 1.85, which Debian 12 came with, does not know the `win7-windows-gnu` targets; its security updates
    // bring a newer one.
    at_least: &[
        ("rustc-web", "1.86"),
        ("cargo-web", "1.86"),
        ("rust-web-src", "1.86"),
        ("rust-web-clippy", "1.86"),
    ],
};

/// Every set, in the order they are installed. A new kind of work adds its own here.
pub const ALL: &[&PackageSet] = &[&VM, &WINDOWS];
