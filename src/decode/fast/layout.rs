//! What documents look like around their values.
//!
//! The records of a topic differ in their values and hardly in the text between them. So it is
//! remembered, for each member of a document in turn, which text led to its value (from the end of the
//! value before it, or from the brace), and what is wanted of the value. Where the next document has the
//! same text at the same place, its key is not read; else it is, and takes the place of the other.
//!
//! What a text leads to follows from the text and from where it stands alone. So nothing depends on what
//! is remembered but the time it takes.
//!
//! `{"id": 1, "ts": 5}`: `{"id": ` leads to a value that is skipped, and `, "ts": ` to the time, both in
//! the object at the root. In `{"id": 22, "ts": 6}` both are recalled; in `{"id": 3,"ts": 7}` the first.

use std::sync::Arc;

use crate::decode::fields::Fields;
use crate::decode::text::is_same;

/// How many members of a document are remembered.
pub const MOST_MEMBERS: usize = 32;

/// The longest text that is remembered, in bytes.
pub const MOST_BYTES: usize = 32;

#[derive(Debug, Default)]
pub struct Layout {
    /// Whose nodes these are.
    fields: Option<Arc<()>>,
    members: Vec<Member>,
    /// The index of the member that comes next.
    next: usize,
}

/// Where a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The node of the object.
    pub object: usize,
    pub is_first: bool,
}

#[derive(Debug, Default)]
struct Member {
    /// None: there has been no such member, or its text is too long.
    place: Option<Place>,
    text: [u8; MOST_BYTES],
    length: usize,
    /// The value's node; none if nothing is wanted of it.
    node: Option<usize>,
}

/// What a text leads to.
pub struct Recalled {
    /// The value's node; none if nothing is wanted of it.
    pub node: Option<usize>,
    /// The length of the text.
    pub length: usize,
}

impl Layout {
    /// Goes to the start of a document.
    pub fn start(&mut self, fields: &Fields) {
        self.next = 0;
        let known = self.fields.as_ref();
        if !known.is_some_and(|known| Arc::ptr_eq(known, &fields.identity)) {
            self.fields = Some(Arc::clone(&fields.identity));
            self.members.clear();
            self.members.resize_with(MOST_MEMBERS, Member::default);
        }
    }

    /// What the next member is, if `text` starts as it did where this was the next member before.
    /// Space may follow.
    #[inline(always)]
    pub fn recall(&mut self, place: Place, text: &[u8]) -> Option<Recalled> {
        let member = self.members.get(self.next)?;
        if member.place != Some(place) {
            return None;
        }
        let length = member.length;
        if !is_same(text.get(..length)?, member.text.get(..length)?) {
            return None;
        }
        self.next += 1;
        Some(Recalled {
            node: member.node,
            length,
        })
    }

    /// Remembers the next member, which was not recalled: the first `length` bytes of `text` led to its
    /// value.
    pub fn remember(&mut self, place: Place, text: &[u8], length: usize, node: Option<usize>) {
        let Some(member) = self.members.get_mut(self.next) else {
            return;
        };
        self.next += 1;
        member.place = (length <= MOST_BYTES).then_some(place);
        member.length = length;
        member.node = node;
        match text.first_chunk() {
            Some(text) => member.text = *text,
            None => member.text[..text.len()].copy_from_slice(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{DecoderSpec, Format, Kind};

    fn fields() -> Fields {
        Fields::new(&DecoderSpec {
            format: Format::Json,
            kind: Kind::Probabilities,
            probabilities: None,
            timestamp: None,
            dimensions: Vec::new(),
            tags: Vec::new(),
            label: None,
            max_payload_bytes: 100,
            max_classes: 2,
        })
    }

    const PLACE: Place = Place {
        object: 0,
        is_first: false,
    };

    #[test]
    fn the_same_text_at_the_same_place_leads_to_the_same() {
        for length in 1..2 * MOST_BYTES {
            let text: Vec<u8> = (1..=length as u8).collect();
            let fields = fields();
            let mut layout = Layout::default();
            layout.start(&fields);
            layout.remember(PLACE, &text, length, Some(3));
            let mut recall = |place: Place, text: &[u8]| {
                layout.start(&fields);
                layout
                    .recall(place, text)
                    .map(|known| (known.node, known.length))
            };
            let expected = (length <= MOST_BYTES).then_some((Some(3), length));
            assert_eq!(recall(PLACE, &text), expected, "{length}");
            assert_eq!(recall(PLACE, &[&text, &b"more"[..]].concat()), expected);
            assert_eq!(recall(PLACE, &text[1..]), None);
            assert_eq!(recall(PLACE, &text[..length - 1]), None);
            for at in 0..length {
                let mut other = text.clone();
                other[at] ^= 0x80;
                assert_eq!(recall(PLACE, &other), None, "{at} of {length}");
            }
            let (object, is_first) = (1, true);
            assert_eq!(recall(Place { object, ..PLACE }, &text), None);
            assert_eq!(recall(Place { is_first, ..PLACE }, &text), None);
        }
    }

    #[test]
    fn so_many_members_are_remembered_of_one_decoder() {
        let mine = fields();
        let mut layout = Layout::default();
        let mut recalled = |fields: &Fields| {
            layout.start(fields);
            let key = |i| [b',', i];
            let known = (0..200)
                .take_while(|&i| layout.recall(PLACE, &key(i)).is_some())
                .count();
            layout.start(fields);
            (0..200).for_each(|i| layout.remember(PLACE, &key(i), 2, None));
            known
        };
        assert_eq!(recalled(&mine), 0);
        assert_eq!(recalled(&mine), MOST_MEMBERS);
        assert_eq!(recalled(&fields()), 0);
    }
}
