//! JSON: the writer of names that are not UTF-8, and the checker of documents.

use crate::Parser;
use crate::bytes::os;
use serde_json::Value;

/// Parsers of JSON.
pub const PARSERS: [Parser; 2] = [("contract", contract), ("json_names", json_names)];

/// Writes any name into a JSON document. The document is valid and reads back the same; where a string
/// cannot hold the name, the true bytes stand beside it.
pub fn json_names(bytes: &[u8]) {
    let name = os(bytes);
    let mut printed = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut printed);
    unmoor::name_and_bytes("name", "name_bytes", Some(&name), &mut serializer).expect("written");
    let printed = String::from_utf8(printed).expect("UTF-8");
    assert!(!printed.contains(|c: char| c < ' '), "one line");
    let read: Value = serde_json::from_str(&printed).expect("valid JSON");
    assert_eq!(read["name"].as_str(), Some(&*name.to_string_lossy()));
    match read["name_bytes"].as_str() {
        None => assert!(name.to_str().is_some()),
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
