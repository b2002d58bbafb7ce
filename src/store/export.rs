//! A baseline version as a file that stands alone, so that it can be restored into another store.
//!
//! ```json
//! {"format":"klaxond-baseline","version":1,
//!  "baseline":{"name":"fraud-v7","version":3,"model":"fraud","source":"captured","created_ms":…,"records":…,"streams":…},
//!  "crc32":"0a1b2c3d","body":"01…"}
//! ```
//! `baseline` is for readers; `body` is the baseline, as hexadecimal digits of the bytes that the store
//! keeps, because decimal floats would not come back bit for bit. `crc32` is of those bytes. An
//! import takes the body, and refuses a file whose two parts disagree.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::baselines::{About, unwritable};
use super::{NewBaseline, StoreError, baseline_body};
use crate::baseline::Baseline;

const FORMAT: &str = "klaxond-baseline";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Export {
    format: String,
    version: u32,
    baseline: About,
    crc32: String,
    body: String,
}

/// The content of an export file.
pub fn export(baseline: &Baseline) -> Result<String, StoreError> {
    let bytes = baseline_body::encode(baseline).map_err(unwritable)?;
    let export = Export {
        format: FORMAT.to_owned(),
        version: VERSION,
        baseline: About::of(baseline),
        crc32: format!("{:08x}", crc32fast::hash(&bytes)),
        body: hex(&bytes),
    };
    let mut text = serde_json::to_string(&export).expect("strings and integers are always JSON");
    text.push('\n');
    Ok(text)
}

/// The baseline of an export file, not active and with the version that it had where it was exported.
pub fn import(text: &str) -> Result<NewBaseline, StoreError> {
    read(text).map_err(|detail| StoreError::NotAnExport { detail })
}

fn read(text: &str) -> Result<NewBaseline, String> {
    #[derive(Deserialize)]
    struct Envelope {
        format: String,
        version: u32,
    }
    let Envelope { format, version } =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    if format != FORMAT {
        return Err(format!("its format is {format:?} instead of {FORMAT:?}"));
    }
    if version != VERSION {
        return Err(format!(
            "its version is {version}, this build reads {VERSION}"
        ));
    }
    let export: Export = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let bytes = unhex(&export.body).ok_or("its body is not hexadecimal")?;
    let crc32 = format!("{:08x}", crc32fast::hash(&bytes));
    if crc32 != export.crc32 {
        return Err(format!(
            "the CRC32 of its body is {crc32} instead of {}",
            export.crc32
        ));
    }
    let baseline = baseline_body::decode(&bytes).map_err(|error| format!("its body: {error}"))?;
    if About::of(&baseline) != export.baseline {
        return Err("what it says of the baseline is not what is in its body".to_owned());
    }
    Ok(NewBaseline {
        baseline,
        activate: false,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a String does not fail");
            text
        })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, []) = text.as_bytes().as_chunks() else {
        return None;
    };
    pairs
        .iter()
        .map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Dir, baseline, new_baseline};
    use super::*;

    fn why_not(text: &str) -> String {
        import(text).unwrap_err().to_string()
    }

    #[test]
    fn an_export_restores_the_baseline_into_another_store() {
        let (one, other) = (Dir::new(), Dir::new());
        let store = one.open();
        store
            .put_baseline(&new_baseline("fraud-v7", false))
            .unwrap();
        store.put_baseline(&new_baseline("fraud-v7", true)).unwrap();
        let original = store.baseline("fraud-v7", 2).unwrap().unwrap();
        let restored = import(&export(&original).unwrap()).unwrap();
        assert_eq!(
            restored,
            NewBaseline {
                baseline: original.clone(),
                activate: false
            }
        );
        let store = other.open();
        assert_eq!(store.put_baseline(&restored).unwrap(), 1);
        let stored = store.baseline("fraud-v7", 1).unwrap().unwrap();
        assert_eq!(
            stored,
            Baseline {
                version: 1,
                ..original
            }
        );
    }

    #[test]
    fn a_reformatted_export_is_still_one() {
        let text = export(&baseline("b")).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(import(&serde_json::to_string_pretty(&value).unwrap()).is_ok());
    }

    #[test]
    fn a_changed_export_is_refused_with_the_reason() {
        let text = export(&baseline("b")).unwrap();
        assert!(why_not("").starts_with("not a baseline export: EOF"));
        assert!(why_not("{}").contains("missing field `format`"));
        let other = text.replace("klaxond-baseline", "other");
        assert!(why_not(&other).contains(r#"its format is "other""#));
        let newer = text.replacen(r#""version":1"#, r#""version":2"#, 1);
        assert!(why_not(&newer).contains("its version is 2, this build reads 1"));
        let body = text.replace(r#""body":"02"#, r#""body":"03"#);
        assert!(why_not(&body).contains("the CRC32 of its body is"));
        assert!(why_not(&text.replace(r#""body":"02"#, r#""body":"0"#)).contains("hexadecimal"));
        assert!(why_not(&text.replace(r#""body":"02"#, r#""body":"0ä"#)).contains("hexadecimal"));
        let renamed = text.replace(r#""name":"b""#, r#""name":"c""#);
        assert!(why_not(&renamed).contains("not what is in its body"));
    }

    #[test]
    fn exports_written_by_format_1_are_read() {
        // Two bytes of body are no baseline; all the layers above it are as they will stay.
        // CRC-32 of the bytes 01 02: b6cc4292 (zlib).
        let golden = r#"{"format":"klaxond-baseline","version":1,"baseline":{"name":"b","version":1,
            "model":"m","source":"captured","created_ms":0,"records":5,"streams":0},
            "crc32":"b6cc4292","body":"0102"}"#;
        assert!(why_not(golden).contains("its body: its content cannot be decoded"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text: String, bytes: Vec<u8>) {
            let _ = import(&text);
            let _ = unhex(&text);
            prop_assert_eq!(unhex(&hex(&bytes)), Some(bytes));
        }

        #[test]
        fn an_export_with_any_change_is_read_without_a_panic(at: prop::sample::Index, to: char) {
            let text = export(&baseline("b")).unwrap();
            let at = at.index(text.len());
            let _ = import(&format!("{}{to}{}", &text[..at], &text[at + 1..]));
        }
    }
}
