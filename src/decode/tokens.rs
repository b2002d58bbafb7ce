//! The log-probabilities of a response's tokens out of JSON, folded token by token into bounds of
//! their entropies: only the token at hand is held.
//!
//! What is read, wherever the pointer leads:
//!
//! | value | is |
//! | --- | --- |
//! | an array | a list of tokens |
//! | an object with `content` | OpenAI's chat: the list of tokens is there |
//! | an object with `top_logprobs` | OpenAI's legacy completions: the list of tokens is there |
//!
//! | a token of the list | is |
//! | --- | --- |
//! | an array | of what is known: numbers, or objects with a `logprob` |
//! | an object with `top_logprobs`, or with `token` as text | OpenAI's chat: that array, with the object's own `logprob` |
//! | any other object | token to log-probability, a number or an object with a `logprob` |
//! | `null` | no token: the first of an echoed prompt |
//!
//! The token that was chosen may be listed among the likeliest or not. It counts once: one that has
//! exactly the log-probability of a listed one is that one. -9999 and less is how OpenAI and vLLM say
//! that a token is below the likeliest, and is as good as absent.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::numbers::Shape;
use crate::information::distribution::Invalid;
use crate::information::top_k::bounds;
use crate::observation::{Reason, Rejection, Response};

/// A log-probability from here down says that the token is not among those that are known.
const UNKNOWN: f64 = -9999.0;

/// Log-probabilities of the token at hand; memory that is used again.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Those of its list.
    listed: Vec<f64>,
    /// Those of its object's own members.
    named: Vec<f64>,
}

/// Reads one value.
pub(super) struct Tokens<'s> {
    /// What messages call the value.
    pub field: &'s str,
    pub vocabulary: u64,
    /// Charged before each token is taken.
    pub max_tokens: usize,
    /// Charged before each log-probability of a token is kept.
    pub max_known: usize,
    pub known: &'s mut Known,
    /// What is wrong with the token at hand: the first thing found. Starts as none.
    pub problem: Option<Rejection>,
}

type Outcome = Result<Shape, Rejection>;

impl<'de> DeserializeSeed<'de> for Tokens<'_> {
    type Value = Outcome;

    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<Outcome, D::Error> {
        let tokens = &mut self;
        let place = Place::Whole;
        Ok(match (At { tokens, place }).deserialize(deserializer)? {
            Found::Null => Ok(Shape::Null),
            Found::List(read) => read.map(Shape::Tokens),
            found => Err(self.wrong_type(format_args!(
                "expected an array of tokens, or an object with content or top_logprobs, found {}",
                found.kind()
            ))),
        })
    }
}

impl Tokens<'_> {
    fn wrong_type(&self, problem: fmt::Arguments<'_>) -> Rejection {
        Rejection::new(Reason::WrongType, format!("{}: {problem}", self.field))
    }

    #[cold]
    fn refuse_token(&mut self, reason: Reason, index: usize, problem: fmt::Arguments<'_>) {
        let field = self.field;
        self.problem.get_or_insert_with(|| {
            Rejection::new(reason, format!("{field}: token {index}: {problem}"))
        });
    }

    #[cold]
    fn refuse_value(&mut self, index: usize, kind: &str) {
        let problem = format_args!("expected a log-probability, found {kind}");
        self.refuse_token(Reason::WrongType, index, problem);
    }

    #[cold]
    fn refuse_number(&mut self, index: usize) {
        let limit = self.max_known;
        let problem = format_args!("more than limits.classes = {limit} log-probabilities");
        self.refuse_token(Reason::TooManyClasses, index, problem);
    }

    /// The list of tokens.
    fn list<'de, A: SeqAccess<'de>>(
        &mut self,
        mut array: A,
    ) -> Result<Result<Response, Rejection>, A::Error> {
        let mut response = Response {
            vocabulary: self.vocabulary,
            ..Response::default()
        };
        for index in 0_usize.. {
            let (tokens, place) = (&mut *self, Place::Token(index));
            match array.next_element_seed(At { tokens, place })? {
                None => break,
                Some(Found::Null) => continue,
                Some(Found::Token) => self.take(index, &mut response),
                Some(found) => {
                    let problem = format_args!(
                        "expected the log-probabilities of a token, found {}",
                        found.kind()
                    );
                    self.refuse_token(Reason::WrongType, index, problem);
                }
            }
            if let Some(problem) = self.problem.take() {
                while array.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(Err(problem));
            }
        }
        Ok(match response.tokens {
            0 => Err(self.wrong_type(format_args!("there are no tokens"))),
            _ => Ok(response),
        })
    }

    /// Takes the token at hand into the response.
    fn take(&mut self, index: usize, response: &mut Response) {
        if self.problem.is_some() {
            return;
        }
        let (known, all) = (self.known.listed.len(), self.vocabulary);
        if response.tokens >= self.max_tokens as u64 {
            let (field, limit) = (self.field, self.max_tokens);
            let detail = format!("{field}: more than limits.tokens = {limit} tokens");
            self.problem = Some(Rejection::new(Reason::TooManyTokens, detail));
        } else if known as u64 > all {
            let problem = format_args!("{known} log-probabilities, of a vocabulary of {all}");
            self.refuse_token(Reason::ClassMismatch, index, problem);
        } else {
            match bounds(&mut self.known.listed, all) {
                Ok(bounds) => {
                    response.tokens += 1;
                    response.least_bits += bounds.least_bits;
                    response.most_bits += bounds.most_bits;
                }
                Err(Invalid::Empty) => {
                    let problem = format_args!("no log-probability above {UNKNOWN}");
                    self.refuse_token(Reason::WrongType, index, problem);
                }
                Err(invalid) => {
                    let problem = format_args!("as probabilities, {invalid}");
                    self.refuse_token(Reason::SumOff, index, problem);
                }
            }
        }
    }

    /// An array of what is known of a token.
    fn listed<'de, A: SeqAccess<'de>>(
        &mut self,
        index: usize,
        mut array: A,
    ) -> Result<(), A::Error> {
        self.known.listed.clear();
        loop {
            let (tokens, place) = (&mut *self, Place::Entry);
            match array.next_element_seed(At { tokens, place })? {
                None => return Ok(()),
                Some(Found::Null) => {}
                Some(Found::Number(value)) => self.keep(index, value),
                Some(found) => self.refuse_value(index, found.kind()),
            }
        }
    }

    fn keep(&mut self, index: usize, value: f64) {
        if self.known.listed.len() >= self.max_known {
            self.refuse_number(index);
        } else if value > UNKNOWN {
            self.known.listed.push(value);
        }
    }

    /// A token as an object: its list, or token to log-probability.
    fn object<'de, A: MapAccess<'de>>(
        &mut self,
        index: usize,
        mut object: A,
    ) -> Result<(), A::Error> {
        self.known.listed.clear();
        self.known.named.clear();
        let (mut chosen, mut has_list) = (None, false);
        let (mut stranger, mut too_many) = (None, false);
        while let Some(name) = object.next_key_seed(Key)? {
            let place = match name {
                Name::TopLogprobs => Place::Listed(index),
                Name::Logprob => Place::Number,
                Name::Content | Name::Token | Name::Other => Place::Entry,
            };
            let tokens = &mut *self;
            match (name, object.next_value_seed(At { tokens, place })?) {
                (Name::Logprob, Found::Number(value)) => chosen = Some(value),
                (_, Found::Number(_)) if self.known.named.len() >= self.max_known => {
                    too_many = true;
                }
                (_, Found::Number(value)) => self.known.named.push(value),
                (Name::TopLogprobs, Found::Null | Found::Token) => has_list = true,
                (Name::TopLogprobs, found) => self.refuse_value(index, found.kind()),
                (Name::Token, Found::Text) => has_list = true,
                (_, Found::Null) => {}
                (_, found) => {
                    stranger.get_or_insert(found.kind());
                }
            }
        }
        if has_list {
            let is_listed = |value: &f64| self.known.listed.contains(value);
            if let Some(value) = chosen.filter(|value| !is_listed(value)) {
                self.keep(index, value);
            }
            return Ok(());
        }
        if let Some(kind) = stranger {
            self.refuse_value(index, kind);
        } else if too_many {
            self.refuse_number(index);
        }
        let named = self.known.named.iter().copied().chain(chosen);
        let known = named.filter(|&value| value > UNKNOWN);
        self.known.listed.extend(known);
        Ok(())
    }
}

/// Where a value stands, which decides what it may be.
#[derive(Clone, Copy)]
enum Place {
    /// The value that the pointer leads to.
    Whole,
    /// Its `content` or `top_logprobs`: the list of tokens.
    List,
    /// A token of the list, by number.
    Token(usize),
    /// The `top_logprobs` of such a token.
    Listed(usize),
    /// What is known of one token: a number, or an object with a `logprob`.
    Entry,
    /// A number and nothing else.
    Number,
}

/// A value that was read to its end.
enum Found {
    Null,
    Number(f64),
    Text,
    List(Result<Response, Rejection>),
    /// A token's log-probabilities, which are in [`Known::listed`].
    Token,
    Other(&'static str),
}

impl Found {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Number(_) => "a number",
            Self::Text => "a string",
            Self::List(_) | Self::Token => "an array",
            Self::Other(kind) => kind,
        }
    }
}

struct At<'t, 's> {
    tokens: &'t mut Tokens<'s>,
    place: Place,
}

impl<'de> DeserializeSeed<'de> for At<'_, '_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_, '_> {
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
        Ok(Found::Text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Found, A::Error> {
        match self.place {
            Place::Whole | Place::List => self.tokens.list(array).map(Found::List),
            Place::Token(index) | Place::Listed(index) => {
                self.tokens.listed(index, array).map(|()| Found::Token)
            }
            Place::Entry | Place::Number => {
                while array.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Found::Other("an array"))
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Found, A::Error> {
        let tokens = self.tokens;
        match self.place {
            Place::Whole => list_within(tokens, object),
            Place::Token(index) => tokens.object(index, object).map(|()| Found::Token),
            Place::Entry => {
                let mut found = Found::Other("an object without a logprob");
                while let Some(name) = object.next_key_seed(Key)? {
                    let (tokens, place) = (&mut *tokens, Place::Number);
                    match name {
                        Name::Logprob => found = object.next_value_seed(At { tokens, place })?,
                        _ => drop(object.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(found)
            }
            Place::List | Place::Listed(_) | Place::Number => {
                while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Found::Other("an object"))
            }
        }
    }
}

/// The list of tokens within the object that OpenAI calls `logprobs`.
fn list_within<'de, A: MapAccess<'de>>(
    tokens: &mut Tokens<'_>,
    mut object: A,
) -> Result<Found, A::Error> {
    let mut found = Found::Other("an object with neither");
    while let Some(name) = object.next_key_seed(Key)? {
        if !matches!(name, Name::Content | Name::TopLogprobs) {
            object.next_value::<IgnoredAny>()?;
            continue;
        }
        let (tokens, place) = (&mut *tokens, Place::List);
        let value = object.next_value_seed(At { tokens, place })?;
        found = match (found, value) {
            (Found::List(_), Found::List(_)) => return both(object),
            (list @ Found::List(_), _) | (_, list) => list,
        };
    }
    Ok(found)
}

fn both<'de, A: MapAccess<'de>>(mut object: A) -> Result<Found, A::Error> {
    while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(Found::Other("an object with both"))
}

/// The keys that mean something.
#[derive(Clone, Copy)]
enum Name {
    Content,
    TopLogprobs,
    Logprob,
    Token,
    Other,
}

/// Reads a key.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Name, E> {
        Ok(match key {
            "content" => Name::Content,
            "top_logprobs" => Name::TopLogprobs,
            "logprob" => Name::Logprob,
            "token" => Name::Token,
            _ => Name::Other,
        })
    }
}
