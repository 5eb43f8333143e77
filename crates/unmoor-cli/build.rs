//! Windows: the application manifest, which says how the program wants to be treated.
//! Linux: the unwinder of GCC as a part of the program, with the feature `static-unwinder`.

use embed_manifest::manifest::{ActiveCodePage, ExecutionLevel, Setting, SupportedOS};
use embed_manifest::{embed_manifest, new_manifest};
use std::env::var;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> Result<(), embed_manifest::Error> {
    println!("cargo:rerun-if-changed=build.rs");
    if var("CARGO_CFG_WINDOWS").is_err() {
        link_unwinder();
        return Ok(());
    }
    embed_manifest(
        new_manifest("unmoor")
            // No question about administrators: what needs one says so, most does not.
            .requested_execution_level(ExecutionLevel::AsInvoker)
            .long_path_aware(Setting::Enabled)
            .active_code_page(ActiveCodePage::Utf8)
            .supported_os(SupportedOS::Windows7..=SupportedOS::Windows10),
    )
}

/// Links libgcc_eh.a, so that no shared library has to be loaded for the unwinder at every start.
///
/// Without that file, and when it is built for another machine, the shared one is used.
fn link_unwinder() {
    let is = |name: &str, value: &str| var(name).is_ok_and(|found| found == value);
    let is_native = var("HOST").is_ok_and(|host| is("TARGET", &host));
    let is_wanted = var("CARGO_FEATURE_STATIC_UNWINDER").is_ok();
    if is_wanted
        && is_native
        && is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && let Some(archive) = unwinder()
        && let Some(directory) = archive.parent().map(Path::display)
    {
        println!("cargo:rustc-link-search=native={directory}");
        println!("cargo:rustc-link-lib=static:-bundle=gcc_eh");
    }
}

/// Returns the path of the archive, if the C compiler is GCC.
fn unwinder() -> Option<PathBuf> {
    let compiler = var("RUSTC_LINKER").unwrap_or_else(|_| "cc".into());
    let output = Command::new(compiler).arg("-print-file-name=libgcc_eh.a").output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    // A compiler without the archive prints the name alone.
    path.is_absolute().then_some(path).filter(|path| path.exists())
}
