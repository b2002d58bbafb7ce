//! An ensemble's members out of JSON: an array of arrays of numbers, each over as many classes.
//!
//! As in `numbers`, a value that is JSON but no ensemble is read to its end, and what is wrong with it
//! is the seed's value.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::numbers::{Numbers, Shape};
use crate::observation::{Reason, Rejection};

/// Reads one value. Filled is `all`, member after member.
pub(super) struct Members<'s> {
    /// For one member; its values are those of the member at hand.
    pub row: Numbers<'s>,
    /// Charged before each member is kept.
    pub max_members: usize,
    pub all: &'s mut Vec<f64>,
}

type Outcome = Result<Shape, Rejection>;

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = Outcome;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Outcome, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Members<'_> {
    fn wrong_type(&self, found: &str) -> Outcome {
        let field = self.row.field;
        let detail = format!("{field}: expected an array of the members' arrays, found {found}");
        Err(Rejection::new(Reason::WrongType, detail))
    }

    /// Keeps the member that was read.
    fn keep(&mut self, member: usize, read: Outcome) -> Result<(), Rejection> {
        let field = self.row.field;
        let refuse = |reason, problem: fmt::Arguments<'_>| {
            let detail = format!("{field}: member {member}{problem}");
            Err(Rejection::new(reason, detail))
        };
        match read {
            Ok(Shape::Array) => {}
            Ok(shape) => {
                let problem =
                    format_args!(": expected an array of numbers, found {}", shape.what());
                return refuse(Reason::WrongType, problem);
            }
            Err(rejection) => {
                let problem = rejection.detail.strip_prefix(field);
                let problem = problem.unwrap_or(&rejection.detail);
                return refuse(rejection.reason, format_args!("{problem}"));
            }
        }
        let (found, before) = (self.row.values.len(), self.all.len());
        if member > 0 && found * member != before {
            let first = before / member;
            let problem = format_args!(" has {found} classes, and the first {first}");
            return refuse(Reason::ClassMismatch, problem);
        }
        self.all.append(self.row.values);
        Ok(())
    }

    fn too_many(&self) -> Rejection {
        let (field, limit) = (self.row.field, self.max_members);
        let detail = format!("{field}: more than limits.members = {limit} members");
        Rejection::new(Reason::TooManyMembers, detail)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Outcome;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a json value")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut array: A) -> Result<Outcome, A::Error> {
        self.all.clear();
        let mut members = 0;
        while let Some(read) = array.next_element_seed(Numbers {
            field: self.row.field,
            max_classes: self.row.max_classes,
            values: &mut *self.row.values,
            names: &mut *self.row.names,
            members: &mut *self.row.members,
        })? {
            let kept = match members < self.max_members {
                true => self.keep(members, read),
                false => Err(self.too_many()),
            };
            if let Err(rejection) = kept {
                while array.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(Err(rejection));
            }
            members += 1;
        }
        self.row.names.clear();
        Ok(match members {
            0 => self.wrong_type("an empty one"),
            members => Ok(Shape::Members(members)),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Outcome, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(self.wrong_type("an object"))
    }

    fn visit_unit<E>(self) -> Result<Outcome, E> {
        Ok(Ok(Shape::Null))
    }

    fn visit_f64<E>(self, _value: f64) -> Result<Outcome, E> {
        Ok(self.wrong_type("a number"))
    }

    fn visit_u64<E>(self, _value: u64) -> Result<Outcome, E> {
        Ok(self.wrong_type("a number"))
    }

    fn visit_i64<E>(self, _value: i64) -> Result<Outcome, E> {
        Ok(self.wrong_type("a number"))
    }

    fn visit_bool<E>(self, _value: bool) -> Result<Outcome, E> {
        Ok(self.wrong_type("a boolean"))
    }

    fn visit_str<E>(self, _value: &str) -> Result<Outcome, E> {
        Ok(self.wrong_type("a string"))
    }
}
