//! JSON: the writer of names that are not UTF-8, and the checker of documents.

use crate::bytes::os;
use crate::{Parser, lossy};
use serde_json::Value;

/// Parsers of JSON.
pub const PARSERS: [Parser; 2] = [("contract", contract), ("json_names", json_names)];

/// Writes any name into a JSON document. The document is valid and reads back the same; where a string
/// cannot hold the name, the true bytes stand beside it.
pub fn json_names(bytes: &[u8]) {
    let name = os(bytes);
    let (plain, hex) = (lossy::plain(&name), lossy::bytes_of(&name));
    let printed = serde_json::json!({ "name": plain, "name_bytes": hex }).to_string();
    assert!(!printed.contains(|c: char| c < ' '), "one line");
    let read: Value = serde_json::from_str(&printed).expect("valid JSON");
    assert_eq!(read["name"].as_str(), Some(&*plain));
    match read["name_bytes"].as_str() {
        None => assert_eq!(name.to_str(), Some(&*plain)),
        Some(hex) => {
            let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits");
            let read: Vec<u8> = (0..hex.len()).step_by(2).map(digits).collect();
            assert_eq!(read, bytes[..read.len()], "the bytes as they were given");
            assert!(bytes.len() - read.len() < 2);
        }
    }
}

/// Checks a document that claims to be unmoor's. Every fault is reported, whatever the document holds.
pub fn contract(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match unmoor_contract::check(&text, Some(0)) {
        Ok(()) => {
            let document: Value = serde_json::from_str(&text).expect("it was checked");
            assert_eq!(document["exit_code"], 0);
            assert!(unmoor_contract::check(&text, Some(1)).is_err());
        }
        Err(faults) => assert!(!faults.is_empty()),
    }
}
