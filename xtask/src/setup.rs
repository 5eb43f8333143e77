//! `cargo xtask setup`: installs missing packages and components, and nothing else.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

use crate::packages::{self, PackageSet};
use crate::{build, components, process};

pub fn command() -> Result<ExitCode> {
    everything()?;
    println!("set up: nothing is missing");
    Ok(ExitCode::SUCCESS)
}

/// Installs everything that the other commands need.
pub fn everything() -> Result<()> {
    components::ensure()?;
    build::packaged_target();
    self::ensure(packages::ALL)
}

/// Installs the missing packages of these sets.
pub fn ensure(sets: &[&PackageSet]) -> Result<()> {
    let missing = self::missing(sets)?;
    if missing.is_empty() {
        return Ok(());
    }
    for set in sets {
        let wanted: Vec<_> = set.packages.iter().copied().filter(|p| missing.contains(p)).collect();
        if !wanted.is_empty() {
            println!("{}: {} ({})", set.name, wanted.join(" "), set.why);
        }
    }
    let Some(prefix) = privilege() else {
        bail!(
            "installing needs root, and sudo is not usable here; as root, run:\n    {}",
            by_hand(&missing)
        );
    };
    // Old package lists name versions that are no longer served, or too old. Without a network, the old
    // lists may still be good enough.
    if let Err(error) = apt(prefix, &["update".into()]) {
        println!("the package lists stay as they are: {error:#}");
    }
    let still = install_all(
        missing,
        || self::missing(sets),
        |packages| {
            let result = apt(prefix, &install(packages));
            result.with_context(|| format!("try by hand: {}", by_hand(packages)))
        },
    )?;
    ensure!(
        still.is_empty(),
        "the package lists have no new enough version of: {} (Debian: are its security updates among the \
         sources?)",
        words(&still)
    );
    Ok(())
}

type Packages = BTreeSet<&'static str>;

/// Number of installations after which packages that are still missing are reported.
const ROUNDS: usize = 3;

/// Installs the missing packages, and then those that the installation removed. Returns those still missing.
///
/// An installation removes a package that breaks a new one, for example a backport's `qemu-utils`. Naming all
/// packages at once is no way out: apt then refuses to install any of them.
fn install_all(
    mut missing: Packages,
    look: impl Fn() -> Result<Packages>,
    install: impl Fn(&Packages) -> Result<()>,
) -> Result<Packages> {
    for _ in 0..ROUNDS {
        install(&missing)?;
        let still = look()?;
        if still.is_empty() || still == missing {
            return Ok(still);
        }
        missing = still;
    }
    Ok(missing)
}

fn by_hand(packages: &Packages) -> String {
    format!("apt-get install --no-install-recommends {}", words(packages))
}

fn words(packages: &Packages) -> String {
    packages.iter().copied().collect::<Vec<_>>().join(" ")
}

fn install(packages: &Packages) -> Vec<String> {
    let mut words = vec!["install".into(), "--yes".into(), "--no-install-recommends".into()];
    words.extend(packages.iter().map(|package| (*package).to_owned()));
    words
}

fn apt(prefix: &[&str], words: &[String]) -> Result<()> {
    let mut all: Vec<&str> = prefix.to_vec();
    // Another installation may be under way: wait for its lock instead of failing.
    all.extend([
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-qq",
        "-o",
        "DPkg::Lock::Timeout=600",
    ]);
    all.extend(words.iter().map(String::as_str));
    process::run(Command::new(all[0]).args(&all[1..])).map(drop)
}

/// Returns the prefix of a command that needs root: none, or sudo; `None` if root is out of reach.
fn privilege() -> Option<&'static [&'static str]> {
    if rustix::process::geteuid().is_root() {
        return Some(&[]);
    }
    let silent = Command::new("sudo").args(["-n", "true"]).output();
    match silent {
        Ok(output) if output.status.success() => Some(&["sudo", "-n"]),
        Ok(_) if std::io::stdin().is_terminal() => Some(&["sudo"]),
        _ => None,
    }
}

/// Returns the packages of these sets that are not installed, or too old.
fn missing(sets: &[&PackageSet]) -> Result<Packages> {
    let mut missing: Packages = sets.iter().flat_map(|set| set.packages.iter().copied()).collect();
    // dpkg-query exits 1 when it does not know one of the names: its output is the answer.
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${Package} ${Version} ${db:Status-Status}\\n"])
        .args(&missing)
        .output();
    let Ok(output) = output else {
        bail!(
            "set-up knows Debian's packages only; here, install what corresponds to: {}",
            words(&missing)
        );
    };
    let least = |package: &str| {
        let mut all = sets.iter().flat_map(|set| set.at_least);
        all.find(|(name, _)| *name == package).map(|(_, version)| *version)
    };
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if let [package, version, "installed"] = words[..]
            && least(package).is_none_or(|least| is_at_least(version, least))
        {
            missing.remove(package);
        }
    }
    Ok(missing)
}

fn is_at_least(version: &str, least: &str) -> bool {
    let compared = Command::new("dpkg").args(["--compare-versions", version, "ge", least]).status();
    compared.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Installs into `installed`, as apt does where `qemu-utils` is a backport that breaks the emulator.
    fn apt_with_a_backport(installed: &RefCell<Packages>, packages: &Packages) {
        let mut installed = installed.borrow_mut();
        if packages.contains("qemu-system-x86") {
            installed.remove("qemu-utils");
        }
        installed.extend(packages);
    }

    #[test]
    fn packages_that_an_installation_removes_are_installed_again() -> Result<()> {
        let all = Packages::from(["qemu-system-x86", "qemu-utils"]);
        let installed = RefCell::new(Packages::from(["qemu-utils"]));
        let missing = || Ok(&all - &installed.borrow());
        let still = install_all(missing()?, missing, |packages| {
            apt_with_a_backport(&installed, packages);
            Ok(())
        })?;
        assert_eq!(still, Packages::new());
        assert_eq!(*installed.borrow(), all);
        Ok(())
    }

    #[test]
    fn a_package_that_cannot_be_had_is_reported_after_one_try() -> Result<()> {
        let tries = RefCell::new(0);
        let missing = Packages::from(["rustc-web"]);
        let still = install_all(
            missing.clone(),
            || Ok(missing.clone()),
            |_| {
                *tries.borrow_mut() += 1;
                Ok(())
            },
        )?;
        assert_eq!((still, tries.into_inner()), (missing, 1));
        Ok(())
    }
}
