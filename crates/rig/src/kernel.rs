//! The guest's kernel: Debian's `linux-image-amd64`, unpacked and not installed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use xtask::process::{program, run};

/// Unpacked kernel package.
pub struct Kernel {
    pub image: PathBuf,
    /// Path of `lib/modules`, which the guest mounts as its own.
    pub modules: PathBuf,
    pub release: String,
}

/// Downloads and unpacks the kernel unless that was done before.
pub fn ensure() -> Result<Kernel> {
    let directory = xtask::paths::rig().join("kernel");
    if let Ok(kernel) = find(&directory) {
        return Ok(kernel);
    }
    let unfinished = xtask::paths::rig().join("kernel.unfinished");
    let _ = fs::remove_dir_all(&unfinished);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&unfinished)?;
    let package = package_name()?;
    println!("fetching {package}");
    run(Command::new("apt-get").args(["-qq", "download", &package]).current_dir(&unfinished))?;
    let archive = fs::read_dir(&unfinished)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get download left no package")?;
    run(Command::new("dpkg").arg("-x").arg(&archive).arg(&unfinished))?;
    fs::remove_file(archive)?;
    let release = find(&unfinished)?.release;
    run(program("depmod").arg("-b").arg(&unfinished).arg(release))?;
    fs::rename(&unfinished, &directory)?;
    find(&directory)
}

fn package_name() -> Result<String> {
    let ask = || run(Command::new("apt-cache").args(["depends", "linux-image-amd64"]));
    let text = ask()?;
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with("linux-image-"))
        .map(str::to_owned)
        .context("apt knows no linux-image-amd64: run apt-get update")
}

fn find(directory: &Path) -> Result<Kernel> {
    let modules = directory.join("lib/modules");
    let release = fs::read_dir(&modules)?
        .next()
        .context("no modules in the kernel package")??
        .file_name()
        .to_string_lossy()
        .into_owned();
    let image = directory.join(format!("boot/vmlinuz-{release}"));
    if !image.exists() {
        bail!("no {} in the kernel package", image.display());
    }
    Ok(Kernel { image, modules, release })
}

impl Kernel {
    /// Returns the files of these modules and their dependencies, in an order for insmod.
    pub fn module_files(&self, names: &[&str]) -> Result<Vec<PathBuf>> {
        let root = self.modules.join(&self.release);
        let text = fs::read_to_string(root.join("modules.dep"))?;
        let mut dependencies = BTreeMap::new();
        let mut by_name = BTreeMap::new();
        for line in text.lines() {
            let (file, needs) = line.split_once(':').context("modules.dep: no colon in a line")?;
            by_name.insert(module_name(file), file);
            dependencies.insert(file, needs.split_whitespace().collect::<Vec<_>>());
        }
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        for name in names {
            let file = by_name.get(*name).with_context(|| format!("no module {name}"))?;
            // modules.dep lists all a module needs, transitively, what is needed first coming last.
            let needs = dependencies.get(file).into_iter().flatten().rev();
            for file in needs.chain([file]) {
                if seen.insert(*file) {
                    order.push(root.join(file));
                }
            }
        }
        Ok(order)
    }
}

fn module_name(file: &str) -> String {
    let base = file.rsplit('/').next().unwrap_or(file);
    base.split('.').next().unwrap_or(base).replace('-', "_")
}
