//! Encodes text for programs that read it from a pipe or a file.
//!
//! Windows PowerShell and `for /f` of `cmd` decode what they read with the code page of the console.
//! Win32: `GetConsoleOutputCP`, `GetOEMCP`, `WideCharToMultiByte`.

use std::ptr::{null, null_mut};
use windows_sys::Win32::Globalization::{CP_UTF8, GetOEMCP, WideCharToMultiByte};
use windows_sys::Win32::System::Console::GetConsoleOutputCP;

/// Encodes text with the code page of the console, or the system's OEM code page without one. A character
/// that the code page lacks becomes a similar one, or a question mark.
pub fn encode(text: &str) -> Vec<u8> {
    // SAFETY: takes nothing, and returns 0 without a console.
    let page = unsafe { GetConsoleOutputCP() };
    // SAFETY: takes nothing.
    let page = if page == 0 { unsafe { GetOEMCP() } } else { page };
    encode_as(text, page)
}

fn encode_as(text: &str, page: u32) -> Vec<u8> {
    if page == CP_UTF8 || text.is_ascii() {
        return text.as_bytes().to_vec();
    }
    let units: Vec<u16> = text.encode_utf16().collect();
    let Ok(count) = i32::try_from(units.len()) else { return text.as_bytes().to_vec() };
    let convert = |room: *mut u8, size: i32| {
        // SAFETY: `units` has `count` units; `room` has `size` bytes, or is null with 0, which asks for the
        // size.
        unsafe {
            WideCharToMultiByte(page, 0, units.as_ptr(), count, room, size, null(), null_mut())
        }
    };
    let size = convert(null_mut(), 0);
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    let written = convert(bytes.as_mut_ptr(), size);
    if written <= 0 {
        return text.as_bytes().to_vec();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_encoded_with_the_code_page() {
        assert_eq!(encode_as("Über", 437), b"\x9aber");
        assert_eq!(encode_as("Über", 1252), b"\xdcber");
        assert_eq!(encode_as("Über", CP_UTF8), "Über".as_bytes());
        assert_eq!(encode_as("plain", 437), b"plain");
        assert_eq!(encode_as("日", 437), b"?");
        assert_eq!(encode_as("", 437), b"");
    }
}
