//! Windows: the application manifest, which says how the program wants to be treated.

use embed_manifest::manifest::{ActiveCodePage, ExecutionLevel, Setting, SupportedOS};
use embed_manifest::{embed_manifest, new_manifest};

fn main() -> Result<(), embed_manifest::Error> {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_CFG_WINDOWS").is_none() {
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
