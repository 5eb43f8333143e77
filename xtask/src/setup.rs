//! `cargo xtask setup`: installs what is missing, and nothing else.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

use crate::packages::{self, PackageSet};
use crate::{components, process};

pub fn command() -> Result<ExitCode> {
    everything()?;
    println!("set up: nothing is missing");
    Ok(ExitCode::SUCCESS)
}

/// Installs what any of the other commands needs.
pub fn everything() -> Result<()> {
    components::ensure()?;
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
    let by_hand = format!(
        "apt-get install --no-install-recommends {}",
        missing.iter().copied().collect::<Vec<_>>().join(" ")
    );
    let Some(prefix) = privilege() else {
        bail!("installing needs root, and sudo is not usable here; as root, run:\n    {by_hand}");
    };
    // Old package lists name versions that are no longer served, or too old. Without a network, what is
    // kept of them may still do.
    if let Err(error) = apt(prefix, &["update".into()]) {
        println!("the package lists stay as they are: {error:#}");
    }
    apt(prefix, &install(&missing)).with_context(|| format!("try by hand: {by_hand}"))?;
    let still = self::missing(sets)?;
    ensure!(
        still.is_empty(),
        "the package lists have no new enough version of: {} (Debian: are its security updates among the \
         sources?)",
        still.into_iter().collect::<Vec<_>>().join(" ")
    );
    Ok(())
}

fn install(packages: &BTreeSet<&str>) -> Vec<String> {
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

/// How to become root: not at all, by sudo, or (`None`) not possible.
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

/// Which packages of these sets are not installed, or too old.
fn missing(sets: &[&PackageSet]) -> Result<BTreeSet<&'static str>> {
    let mut missing: BTreeSet<&'static str> =
        sets.iter().flat_map(|set| set.packages.iter().copied()).collect();
    // dpkg-query exits 1 when it does not know one of the names: its output is the answer.
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${Package} ${Version} ${db:Status-Status}\\n"])
        .args(&missing)
        .output();
    let Ok(output) = output else {
        let names = missing.into_iter().collect::<Vec<_>>().join(" ");
        bail!("set-up knows Debian's packages only; here, install what corresponds to: {names}");
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
