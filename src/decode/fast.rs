//! One pass by hand over a document that is as documents usually are.
//!
//! What is accepted, and why a document is refused, is defined by `json`, with serde_json below it.
//! This reads the same tree of wanted values in the same way, several times faster, and gives up at
//! the first doubt: then the record is read again from its start by `json`. So whatever is read to
//! the end here is what `json` would have read; `tests::fast` holds the two against each other.
//!
//! Doubts are: all that leads to a rejection, escapes in strings, a distribution's class names that
//! are not UTF-8, wanted numbers that are neither a float nor a short integer without a sign, and
//! depth. As in `json`, strings that are skipped are not checked for UTF-8, nor are skipped numbers
//! for their range.

mod layout;

use std::str;

pub(super) use self::layout::Layout;
use self::layout::Place;
use super::decimal;
use super::fields::{Fields, Node};
use super::json::Findings;
use super::numbers::{Numbers, Shape};
use super::text::{self, MAX_TEXT_BYTES};
use super::{DecoderSpec, Scratch, timestamp};
use crate::observation::Millis;

/// The deepest nesting that is followed; serde_json follows wanted values to 127.
const MOST_DEPTH: usize = 64;

/// Reads one document into `scratch`. None at a doubt: what is in `scratch` and `findings` is then for
/// nothing.
pub(super) fn read(
    fields: &Fields,
    spec: &DecoderSpec,
    text: &[u8],
    scratch: &mut Scratch,
    findings: &mut Findings,
) -> Option<()> {
    scratch.buffers.forget_seen(fields);
    scratch.buffers.layout.start(fields);
    let mut pass = Pass {
        fields,
        spec,
        scratch,
        text,
        at: 0,
        findings,
    };
    pass.space();
    pass.value(Fields::ROOT, MOST_DEPTH)?;
    pass.space();
    (pass.at == text.len()).then_some(())
}

struct Pass<'a> {
    fields: &'a Fields,
    spec: &'a DecoderSpec,
    scratch: &'a mut Scratch,
    text: &'a [u8],
    /// The index of the next byte.
    at: usize,
    findings: &'a mut Findings,
}

/// What comes next in an object.
enum Next {
    /// A member's value, with its node; none if nothing is wanted of it.
    Member(Option<usize>),
    End,
}

/// Every method starts at the first byte of what it reads and leaves `at` after it; none is a doubt.
impl<'a> Pass<'a> {
    /// The value at a node. It is inlined where members are read, and what is rare is not.
    #[inline(always)]
    fn value(&mut self, node: usize, depth: usize) -> Option<()> {
        let wanted = self.fields.node(node);
        if let Some(rank) = wanted.distribution {
            return self.distribution(rank, depth);
        }
        let depth = depth.checked_sub(1)?;
        match self.peek()? {
            b'"' => {
                let text = str::from_utf8(self.string()?).ok()?;
                self.text(wanted, text)
            }
            b'{' if wanted.is_only_a_way() => self.object(node, depth),
            b'[' if wanted.is_only_a_way() => self.array(node, depth),
            b't' if !wanted.time => {
                self.literal(b"true")?;
                self.texts(wanted, |slot| text::keep(slot, "true"))
            }
            b'f' if !wanted.time => {
                self.literal(b"false")?;
                self.texts(wanted, |slot| text::keep(slot, "false"))
            }
            b'n' => self.literal(b"null"),
            b'-' | b'0'..=b'9' => self.number(wanted),
            _ => None,
        }
    }

    fn text(&mut self, wanted: &Node, text: &str) -> Option<()> {
        self.texts(wanted, |slot| text::keep(slot, text))?;
        self.time(wanted, || timestamp::from_text(text))
    }

    fn number(&mut self, wanted: &Node) -> Option<()> {
        let start = self.at;
        if let Some((value, end)) = decimal::integer(self.text, start) {
            self.at = end;
            if !wanted.texts.is_empty() {
                let token = str::from_utf8(&self.text[start..end]).ok()?;
                self.texts(wanted, |slot| text::keep(slot, token))?;
            }
            return self.time(wanted, || timestamp::from_integer(value.into()));
        }
        self.at = decimal::end_of_number(self.text, start)?;
        let token = str::from_utf8(&self.text[start..self.at]).ok()?;
        if !token.contains(['.', 'e', 'E']) {
            return None;
        }
        let value: f64 = token.parse().ok().filter(|value: &f64| value.is_finite())?;
        self.texts(wanted, |slot| {
            text::keep_float(slot, value);
            true
        })?;
        self.time(wanted, || timestamp::from_float(value))
    }

    /// Writes the value's text wherever it is wanted.
    fn texts(&mut self, wanted: &Node, keep: impl Fn(&mut String) -> bool) -> Option<()> {
        let scratch = &mut *self.scratch;
        wanted
            .texts
            .iter()
            .all(|&text| keep(scratch.slot(text)))
            .then_some(())
    }

    /// Keeps the value's time where it is wanted as that.
    fn time(&mut self, wanted: &Node, time: impl Fn() -> Option<Millis>) -> Option<()> {
        if wanted.time {
            self.scratch.time_ms = Some(time()?);
        }
        Some(())
    }

    /// Members that look as they did in the document before are not read: see [`layout`].
    #[inline(never)]
    fn object(&mut self, node: usize, depth: usize) -> Option<()> {
        let mut place = Place {
            object: node,
            is_first: true,
        };
        loop {
            let rest = self.text.get(self.at..)?;
            let child = match self.scratch.buffers.layout.recall(place, rest) {
                Some(known) => {
                    self.at += known.length;
                    self.space();
                    known.node
                }
                None => match self.member(place)? {
                    Next::Member(child) => child,
                    Next::End => return Some(()),
                },
            };
            place.is_first = false;
            match child {
                Some(child) => {
                    let seen = &mut self.scratch.buffers.seen[child];
                    if std::mem::replace(seen, true) {
                        return None; // which of the two was meant?
                    }
                    self.value(child, depth)?;
                }
                None => self.skip(depth)?,
            }
        }
    }

    /// Reads all that comes before the value of an object's next member.
    #[inline(never)]
    fn member(&mut self, place: Place) -> Option<Next> {
        let start = self.at;
        if place.is_first {
            self.expect(b'{')?;
        }
        self.space();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(Next::End);
        }
        if !place.is_first {
            self.expect(b',')?;
            self.space();
        }
        let key = self.string()?;
        let child = self.fields.child_by_bytes(place.object, key);
        if child.is_none() && !key.is_ascii() {
            str::from_utf8(key).ok()?;
        }
        self.colon()?;
        let (text, length) = (&self.text[start..], self.at - start);
        let layout = &mut self.scratch.buffers.layout;
        layout.remember(place, text, length, child);
        Some(Next::Member(child))
    }

    #[inline(never)]
    fn array(&mut self, node: usize, depth: usize) -> Option<()> {
        let mut index = 0;
        self.elements(|pass| {
            let child = pass.fields.child_by_index(node, index);
            index += 1;
            match child {
                Some(child) => pass.value(child, depth),
                None => pass.skip(depth),
            }
        })
    }

    fn distribution(&mut self, rank: usize, depth: usize) -> Option<()> {
        let found = &self.findings.distribution;
        if found.as_ref().is_some_and(|(found, _)| *found < rank) {
            return self.skip(depth);
        }
        let shape = match self.peek()? {
            b'n' => return self.literal(b"null"),
            b'[' => {
                self.start_numbers();
                self.numbers()?;
                Shape::Array
            }
            b'{' => {
                self.named_numbers(rank)?;
                Shape::Object
            }
            _ => {
                self.start_numbers();
                self.number_of_distribution()?;
                Shape::Number
            }
        };
        self.findings.distribution = Some((rank, Ok(shape)));
        Some(())
    }

    fn start_numbers(&mut self) {
        self.scratch.probabilities.clear();
        self.scratch.class_names.clear();
    }

    /// An array of numbers, or of one such array.
    fn numbers(&mut self) -> Option<()> {
        self.expect(b'[')?;
        self.space();
        if self.peek()? == b'[' {
            self.row()?;
            self.space();
            return self.expect(b']');
        }
        self.rest_of_row()
    }

    fn row(&mut self) -> Option<()> {
        self.expect(b'[')?;
        self.space();
        self.rest_of_row()
    }

    /// One number or more, with commas between them, and the bracket.
    fn rest_of_row(&mut self) -> Option<()> {
        let most = self.spec.max_classes;
        let values = &mut self.scratch.probabilities;
        let rows = &mut self.scratch.buffers.rows;
        self.at = rows.read(self.text, self.at, most, values)?;
        Some(())
    }

    fn number_of_distribution(&mut self) -> Option<()> {
        let (value, end) = decimal::number(self.text, self.at)?;
        self.scratch.probabilities.push(value);
        self.at = end;
        (self.spec.max_classes > 0).then_some(())
    }

    /// An object of class name to number.
    #[inline(never)]
    fn named_numbers(&mut self, rank: usize) -> Option<()> {
        let mut count = 0;
        self.members(|pass| {
            let name = str::from_utf8(pass.string()?).ok()?;
            pass.colon()?;
            let (value, end) = decimal::number(pass.text, pass.at)?;
            pass.at = end;
            if count >= pass.spec.max_classes || name.len() > MAX_TEXT_BYTES {
                return None;
            }
            let members = &mut pass.scratch.buffers.members;
            if count == members.len() {
                members.push(Default::default());
            }
            text::keep(&mut members[count].0, name);
            members[count].1 = value;
            count += 1;
            Some(())
        })?;
        let mut numbers = Numbers {
            field: &self.fields.distributions[rank],
            max_classes: self.spec.max_classes,
            values: &mut self.scratch.probabilities,
            names: &mut self.scratch.class_names,
            members: &mut self.scratch.buffers.members,
        };
        numbers.take_members(count).ok()
    }

    /// A value that nothing is wanted of.
    fn skip(&mut self, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'{' => self.members(|pass| {
                pass.string()?;
                pass.colon()?;
                pass.skip(depth)
            }),
            b'[' => self.elements(|pass| pass.skip(depth)),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => {
                self.at = decimal::end_of_number(self.text, self.at)?;
                Some(())
            }
        }
    }

    /// An object; `member` reads a key, the colon and the value.
    fn members(&mut self, member: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.expect(b'{')?;
        self.list(b'}', member)
    }

    fn elements(&mut self, element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.expect(b'[')?;
        self.list(b']', element)
    }

    /// What stands between commas, and the bracket.
    fn list(&mut self, close: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.space();
        if self.peek()? == close {
            return self.expect(close);
        }
        loop {
            item(self)?;
            self.space();
            if self.peek()? == close {
                return self.expect(close);
            }
            self.expect(b',')?;
            self.space();
        }
    }

    fn colon(&mut self) -> Option<()> {
        self.space();
        self.expect(b':')?;
        self.space();
        Some(())
    }

    /// What is between the quotation marks, if it is free of escapes and control characters.
    #[inline(always)]
    fn string(&mut self) -> Option<&'a [u8]> {
        self.expect(b'"')?;
        let start = self.at;
        let end = start + end_of_plain_text(&self.text[start..]);
        self.at = end;
        self.expect(b'"')?;
        Some(&self.text[start..end])
    }

    fn literal(&mut self, literal: &[u8]) -> Option<()> {
        let there = self.text[self.at..].starts_with(literal);
        self.at += literal.len();
        there.then_some(())
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        let there = self.peek()? == byte;
        self.at += 1;
        there.then_some(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        self.at = decimal::space(self.text, self.at);
    }
}

/// The length of what comes before a quotation mark, a backslash or a control character.
fn end_of_plain_text(text: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // The high bit of each byte that is 0, up to the first such.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let (words, rest) = text.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let special = zeros(word ^ (ONES * u64::from(b'"')))
            | zeros(word ^ (ONES * u64::from(b'\\')))
            | control;
        if special != 0 {
            return 8 * i + (special.trailing_zeros() / 8) as usize;
        }
    }
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    let in_rest = rest.iter().position(special).unwrap_or(rest.len());
    8 * words.len() + in_rest
}
