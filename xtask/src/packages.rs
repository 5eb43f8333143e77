//! Debian packages that each kind of work needs, as data.

/// Packages for one kind of work.
pub struct PackageSet {
    pub name: &'static str,
    pub why: &'static str,
    pub packages: &'static [&'static str],
    /// Lowest version of some of them.
    pub at_least: &'static [(&'static str, &'static str)],
}

/// Virtual machine, and the programs of its tests (the guest sees this machine's programs).
pub const VM: PackageSet = PackageSet {
    name: "vm",
    why: "the virtual machine with emulated drives, the programs its tests compare with, and the services of \
          a desktop",
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
        "udisks2",
        "libblockdev-crypto2",
        "polkitd",
        "dbus",
    ],
    at_least: &[],
};

/// Windows build: Debian's compiler, whose standard library is built here, and Wine.
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

/// Package of Debian, and the shells and programs that its tests use.
pub const PACKAGE: PackageSet = PackageSet {
    name: "package",
    why: "the Debian package: its checker, the shells of the completions, the readers of man pages",
    packages: &[
        "bash",
        "zsh",
        "fish",
        "man-db",
        "mandoc",
        "tmux",
        "dpkg",
        "lintian",
        "desktop-file-utils",
        "zip",
    ],
    at_least: &[],
};

/// Every set, in the order of installation.
pub const ALL: &[&PackageSet] = &[&VM, &WINDOWS, &PACKAGE];
