//! The distribution's numbers out of JSON: the one place that reads them.
//!
//! A value that is JSON, but not a distribution's, does not stop the pass over the document: it is
//! read to its end, and what is wrong with it is the seed's value. Only broken JSON is an error.

use std::fmt;
use std::mem;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::text::{self, MAX_TEXT_BYTES, quoted};
use crate::observation::{Reason, Rejection, Response};

/// What the distribution was written as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shape {
    /// `null`, which is as good as absent. Nothing was filled.
    Null,
    /// A bare number: one value.
    Number,
    /// An array of numbers, or an array of one such array.
    Array,
    /// An object of class name to number.
    Object,
    /// An ensemble: an array of so many arrays of numbers, each as long.
    Members(usize),
    /// A language model's response. Nothing was filled.
    Tokens(Response),
}

impl Shape {
    pub fn what(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Number => "a number",
            Self::Array => "an array",
            Self::Object => "an object",
            Self::Members(_) => "an array of arrays",
            Self::Tokens(_) => "tokens",
        }
    }
}

/// Reads one value. Filled are `values`, and `names` in parallel for an object, else emptied.
pub(super) struct Numbers<'s> {
    /// What messages call the value.
    pub field: &'s str,
    /// Charged before each value is kept.
    pub max_classes: usize,
    pub values: &'s mut Vec<f64>,
    pub names: &'s mut Vec<String>,
    /// An object's members while they are read and sorted. Its strings change places with those of
    /// `names`, so that both are used again.
    pub members: &'s mut Vec<(String, f64)>,
}

type Outcome = Result<Shape, Rejection>;

impl<'de> DeserializeSeed<'de> for Numbers<'_> {
    type Value = Outcome;

    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<Outcome, D::Error> {
        let item = Item {
            numbers: &mut self,
            place: Place::Whole,
        };
        Ok(match item.deserialize(deserializer)? {
            Found::Null => Ok(Shape::Null),
            Found::Number(value) => self.restart().keep(value).map(|()| Shape::Number),
            Found::Inner(outcome) => outcome,
            Found::Other(kind) => Err(self.wrong_type(format_args!(
                "expected an array of numbers, or an object of class name to number, found {kind}"
            ))),
        })
    }
}

impl Numbers<'_> {
    fn restart(&mut self) -> &mut Self {
        self.values.clear();
        self.names.clear();
        self
    }

    fn keep(&mut self, value: f64) -> Result<(), Rejection> {
        self.charge(self.values.len())?;
        self.values.push(value);
        Ok(())
    }

    /// Whether there is room for one more class than `classes`.
    fn charge(&self, classes: usize) -> Result<(), Rejection> {
        if classes < self.max_classes {
            return Ok(());
        }
        let (field, limit) = (self.field, self.max_classes);
        let detail = format!("{field}: more than limits.classes = {limit} classes");
        Err(Rejection::new(Reason::TooManyClasses, detail))
    }

    fn wrong_type(&self, problem: fmt::Arguments<'_>) -> Rejection {
        Rejection::new(Reason::WrongType, format!("{}: {problem}", self.field))
    }

    /// An array's numbers. With `rows`, its only element may be such an array.
    fn array<'de, A: SeqAccess<'de>>(
        &mut self,
        mut array: A,
        rows: bool,
    ) -> Result<Outcome, A::Error> {
        let mut row = false;
        for index in 0_usize.. {
            let place = if rows && index == 0 {
                Place::FirstElement
            } else {
                Place::Member
            };
            let Some(found) = array.next_element_seed(Item {
                numbers: self,
                place,
            })?
            else {
                break;
            };
            let kept = match found {
                _ if row => Err(self.several_rows()),
                Found::Number(value) => self.keep(value),
                Found::Inner(outcome) => {
                    row = true;
                    outcome.map(|_| ())
                }
                found => Err(self.wrong_type(format_args!(
                    "expected a number at index {index}, found {}",
                    found.kind()
                ))),
            };
            if let Err(rejection) = kept {
                while array.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(Err(rejection));
            }
        }
        Ok(Ok(Shape::Array))
    }

    #[cold]
    fn several_rows(&self) -> Rejection {
        let row = if self.field.starts_with('/') {
            self.field
        } else {
            ""
        };
        self.wrong_type(format_args!(
            "expected one array of numbers, found several rows; point at one, as \"{row}/0\""
        ))
    }

    fn object<'de, A: MapAccess<'de>>(&mut self, mut object: A) -> Result<Outcome, A::Error> {
        let mut count = 0;
        let mut problem = None;
        while let Some(name) = object.next_key_seed(Name(self, count))? {
            let place = Place::Member;
            let found = object.next_value_seed(Item {
                numbers: self,
                place,
            })?;
            let kept = name.and_then(|()| match found {
                Found::Number(value) => {
                    self.members[count].1 = value;
                    Ok(())
                }
                found => Err(self.wrong_type(format_args!(
                    "expected a number for class {}, found {}",
                    quoted(&self.members[count].0),
                    found.kind()
                ))),
            });
            if let Err(rejection) = kept {
                problem = Some(rejection);
                break;
            }
            count += 1;
        }
        if let Some(rejection) = problem {
            while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Err(rejection));
        }
        Ok(self.take_members(count).map(|()| Shape::Object))
    }

    /// The first `count` members into `values` and `names`, by name.
    pub fn take_members(&mut self, count: usize) -> Result<(), Rejection> {
        let members = &mut self.members[..count];
        members.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        if let Some(pair) = members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let detail = format!("{}: class {} is repeated", self.field, quoted(&pair[0].0));
            return Err(Rejection::new(Reason::Malformed, detail));
        }
        self.values.clear();
        self.values.extend(members.iter().map(|(_, value)| value));
        self.names.resize_with(count, String::new);
        for (name, (member, _)) in self.names.iter_mut().zip(members) {
            mem::swap(name, member);
        }
        Ok(())
    }
}

/// Where a value stands, which decides what it may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The value that the pointer leads to.
    Whole,
    /// The first element of its array, which may be an array again.
    FirstElement,
    /// Any other: a number.
    Member,
}

/// A value that was read to its end.
enum Found {
    Null,
    Number(f64),
    /// An array or object where one may stand.
    Inner(Outcome),
    Other(&'static str),
}

impl Found {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Number(_) => "a number",
            Self::Inner(_) => "an array",
            Self::Other(kind) => kind,
        }
    }
}

struct Item<'n, 's> {
    numbers: &'n mut Numbers<'s>,
    place: Place,
}

impl<'de> DeserializeSeed<'de> for Item<'_, '_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_, '_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a json value")
    }

    fn visit_f64<E>(self, value: f64) -> Result<Found, E> {
        Ok(Found::Number(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Found, E> {
        Ok(Found::Number(value as f64))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Found, E> {
        Ok(Found::Number(value as f64))
    }

    fn visit_unit<E>(self) -> Result<Found, E> {
        Ok(Found::Null)
    }

    fn visit_bool<E>(self, _value: bool) -> Result<Found, E> {
        Ok(Found::Other("a boolean"))
    }

    fn visit_str<E>(self, _value: &str) -> Result<Found, E> {
        Ok(Found::Other("a string"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Found, A::Error> {
        match self.place {
            Place::Whole => self.numbers.restart().array(array, true).map(Found::Inner),
            Place::FirstElement => self.numbers.array(array, false).map(Found::Inner),
            Place::Member => {
                while array.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Found::Other("an array"))
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Found, A::Error> {
        if self.place == Place::Whole {
            return self.numbers.object(object).map(Found::Inner);
        }
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Found::Other("an object"))
    }
}

/// Reads a key into the member of this number.
struct Name<'n, 's>(&'n mut Numbers<'s>, usize);

impl<'de> DeserializeSeed<'de> for Name<'_, '_> {
    type Value = Result<(), Rejection>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name<'_, '_> {
    type Value = Result<(), Rejection>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let Self(numbers, index) = self;
        if let Err(rejection) = numbers.charge(index) {
            return Ok(Err(rejection));
        }
        if index == numbers.members.len() {
            numbers.members.push(Default::default());
        }
        if text::keep(&mut numbers.members[index].0, name) {
            return Ok(Ok(()));
        }
        Ok(Err(numbers.wrong_type(format_args!(
            "the name of class {} has {} bytes, more than {MAX_TEXT_BYTES}",
            quoted(name),
            name.len()
        ))))
    }
}
