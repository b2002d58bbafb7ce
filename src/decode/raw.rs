//! Raw payloads: K little-endian floats and nothing else; of an ensemble, those of its M members, one
//! after the other. The time is Kafka's, dimensions come from headers.

use crate::observation::{Reason, Rejection};

/// A format's reader: payload, members (at least 1), most classes of each, where the floats go.
pub(super) type Read = fn(&[u8], usize, usize, &mut Vec<f64>) -> Result<(), Rejection>;

/// Fills `values` with the floats of `payload`, in order; any bit pattern, checked later.
///
/// # Errors
/// A length that is no multiple of a float's, floats that are not as many for each of the `members`,
/// or more than `max_classes`; `values` is then as it was.
pub(super) fn f32le(
    payload: &[u8],
    members: usize,
    max_classes: usize,
    values: &mut Vec<f64>,
) -> Result<(), Rejection> {
    floats(payload, members, max_classes, values, "32", |bytes| {
        f64::from(f32::from_le_bytes(bytes))
    })
}

/// As [`f32le`], for 64-bit floats.
pub(super) fn f64le(
    payload: &[u8],
    members: usize,
    max_classes: usize,
    values: &mut Vec<f64>,
) -> Result<(), Rejection> {
    let read = f64::from_le_bytes;
    floats(payload, members, max_classes, values, "64", read)
}

fn floats<const N: usize>(
    payload: &[u8],
    members: usize,
    max_classes: usize,
    values: &mut Vec<f64>,
    bits: &str,
    read: impl Fn([u8; N]) -> f64,
) -> Result<(), Rejection> {
    let (floats, rest) = payload.as_chunks::<N>();
    if !rest.is_empty() {
        let length = payload.len();
        let detail =
            format!("the payload: {length} bytes are not a whole number of {bits}-bit floats");
        return Err(Rejection::new(Reason::Malformed, detail));
    }
    if !floats.len().is_multiple_of(members) {
        let length = floats.len();
        let detail = format!("the payload: {length} floats are not as many for {members} members");
        return Err(Rejection::new(Reason::Malformed, detail));
    }
    let classes = floats.len() / members;
    if classes > max_classes {
        let detail =
            format!("the payload: {classes} classes, more than limits.classes = {max_classes}");
        return Err(Rejection::new(Reason::TooManyClasses, detail));
    }
    values.clear();
    values.extend(floats.iter().map(|bytes| read(*bytes)));
    Ok(())
}
