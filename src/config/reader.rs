//! Walks a TOML document by hand, so that every problem is found, not the first alone: typed
//! readers that note what is wrong, with line and key path, and which keys were asked for.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Problem, duration};
use crate::observation::Millis;

/// A file being read, and what was found wrong with it.
pub struct Source<'a> {
    text: &'a str,
    origin: &'a str,
    env: &'a dyn Fn(&str) -> Option<String>,
    files: &'a dyn Fn(&Path) -> io::Result<String>,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
    /// Every key that was asked for, by its name alone.
    asked: RefCell<BTreeSet<String>>,
}

impl<'a> Source<'a> {
    pub fn new(
        text: &'a str,
        origin: &'a str,
        env: &'a dyn Fn(&str) -> Option<String>,
        files: &'a dyn Fn(&Path) -> io::Result<String>,
    ) -> Self {
        let (problems, warnings, asked) = Default::default();
        Self {
            text,
            origin,
            env,
            files,
            problems,
            warnings,
            asked,
        }
    }

    /// The document; none, with a problem noted, where it is no TOML.
    pub fn parse(&self) -> Option<Spanned<DeTable<'a>>> {
        match DeTable::parse(self.text) {
            Ok(root) => Some(root),
            Err(error) => {
                let problem = self.problem(error.span(), "", error.message().to_owned());
                self.problems.borrow_mut().push(problem);
                None
            }
        }
    }

    /// Problems and warnings, in order of line.
    pub fn into_problems(self) -> (Vec<Problem>, Vec<Problem>) {
        let (mut problems, mut warnings) = (self.problems.into_inner(), self.warnings.into_inner());
        problems.sort_by_key(|problem| problem.line);
        warnings.sort_by_key(|problem| problem.line);
        (problems, warnings)
    }

    #[cfg(test)]
    pub fn asked(&self) -> BTreeSet<String> {
        self.asked.borrow().clone()
    }

    fn problem(&self, span: Option<Range<usize>>, path: &str, message: String) -> Problem {
        let line = span.map(|span| {
            let before = self.text.get(..span.start).unwrap_or(self.text);
            before.matches('\n').count() + 1
        });
        Problem {
            origin: self.origin.to_owned(),
            line,
            path: path.to_owned(),
            message,
        }
    }

    /// Puts in what `${…}` stands for.
    fn interpolate(&self, text: &str) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, found) = rest.split_at(at);
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                rest = &found[2..];
                continue;
            }
            out.push_str(before);
            let (name, after) = found[2..]
                .split_once('}')
                .ok_or_else(|| format!("${{ without }} in {text:?}"))?;
            match name.strip_prefix("file:") {
                Some(path) => {
                    let content = (self.files)(Path::new(path))
                        .map_err(|error| format!("${{file:{path}}} cannot be read: {error}"))?;
                    out.push_str(content.trim_end_matches(['\r', '\n']));
                }
                None => out.push_str(&(self.env)(name).ok_or_else(|| {
                    format!("${{{name}}}: there is no environment variable {name}")
                })?),
            }
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// A string of the file: what it stands for, and how it is written.
#[derive(Clone, Debug)]
pub struct Text {
    pub value: String,
    /// For messages: what `${…}` stands for may be a secret.
    pub written: String,
}

/// One table being read. Keys that are never asked for are problems, once it is finished.
pub struct Reader<'a> {
    source: &'a Source<'a>,
    path: String,
    span: Range<usize>,
    table: &'a DeTable<'a>,
    asked: RefCell<BTreeSet<String>>,
}

impl<'a> Reader<'a> {
    pub fn root(source: &'a Source<'a>, root: &'a Spanned<DeTable<'a>>) -> Self {
        Self::new(source, String::new(), root.span(), root.get_ref())
    }

    fn new(
        source: &'a Source<'a>,
        path: String,
        span: Range<usize>,
        table: &'a DeTable<'a>,
    ) -> Self {
        Self {
            source,
            path,
            span,
            table,
            asked: RefCell::default(),
        }
    }

    fn path_of(&self, key: &str) -> String {
        match (self.path.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) => format!("{}.{key}", self.path),
        }
    }

    fn at(&self, key: &str, message: String) -> Problem {
        let span = self.table.get(key).map_or(self.span.clone(), Spanned::span);
        self.source.problem(Some(span), &self.path_of(key), message)
    }

    /// Notes a problem with a key; with an empty one, with the table.
    pub fn problem(&self, key: &str, message: impl Into<String>) {
        self.source
            .problems
            .borrow_mut()
            .push(self.at(key, message.into()));
    }

    pub fn warning(&self, key: &str, message: impl Into<String>) {
        self.source
            .warnings
            .borrow_mut()
            .push(self.at(key, message.into()));
    }

    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.table.keys().map(|key| key.get_ref().as_ref())
    }

    pub fn value(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.borrow_mut().insert(key.to_owned());
        self.source.asked.borrow_mut().insert(key.to_owned());
        self.table.get(key)
    }

    fn wrong(&self, key: &str, wanted: &str, found: &DeValue<'_>) {
        self.problem(key, format!("has to be {wanted}, and is {}", kind(found)));
    }

    /// A string of the file, whether it is there or not; not the empty one.
    pub fn text(&self, key: &str) -> Option<Text> {
        let value = self.value(key)?.get_ref();
        let DeValue::String(written) = value else {
            self.wrong(key, "a string", value);
            return None;
        };
        self.interpolated(key, written)
    }

    fn interpolated(&self, key: &str, written: &str) -> Option<Text> {
        match self.source.interpolate(written) {
            Ok(value) if value.is_empty() => {
                self.problem(key, "is empty");
                None
            }
            Ok(value) => Some(Text {
                value,
                written: written.to_owned(),
            }),
            Err(message) => {
                self.problem(key, message);
                None
            }
        }
    }

    pub fn string(&self, key: &str) -> Option<String> {
        self.text(key).map(|text| text.value)
    }

    pub fn required(&self, key: &str) -> Option<String> {
        if self.value(key).is_none() {
            self.problem(key, "is missing");
        }
        self.string(key)
    }

    /// A string that `read` understands; its error is the problem.
    pub fn parsed<T>(&self, key: &str, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(key)?;
        match read(&text.value) {
            Ok(value) => Some(value),
            Err(message) => {
                self.problem(key, message.replace(&text.value, &text.written));
                None
            }
        }
    }

    /// One of the words that `choices` lists.
    pub fn one_of<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        self.parsed(key, |text| {
            let found = choices.iter().find(|(name, _)| *name == text);
            found.map(|&(_, choice)| choice).ok_or_else(|| {
                let names: Vec<_> = choices
                    .iter()
                    .map(|(name, _)| format!("{name:?}"))
                    .collect();
                format!("{text:?} is none of {}", names.join(", "))
            })
        })
    }

    pub fn duration(&self, key: &str) -> Option<Millis> {
        self.parsed(key, duration::parse)
    }

    /// A whole number within `range`.
    pub fn integer(&self, key: &str, range: Range<u64>) -> Option<u64> {
        let value = self.value(key)?.get_ref();
        let number = value
            .as_integer()
            .map(|i| u64::from_str_radix(&i.as_str().replace('_', ""), i.radix()).ok());
        match number {
            None => self.wrong(key, "a whole number", value),
            Some(Some(number)) if range.contains(&number) => return Some(number),
            Some(_) => {
                self.problem(
                    key,
                    format!("has to be from {} to {}", range.start, range.end - 1),
                );
            }
        }
        None
    }

    pub fn table(&self, key: &str) -> Option<Reader<'a>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(Self::new(
                self.source,
                self.path_of(key),
                value.span(),
                table,
            )),
            other => {
                self.wrong(key, "a table", other);
                None
            }
        }
    }

    /// An array of tables; empty where it is not there.
    pub fn tables(&self, key: &str) -> Vec<Reader<'a>> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong(key, "an array of tables", value.get_ref());
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (index, value) in array.iter().enumerate() {
            let path = format!("{}[{index}]", self.path_of(key));
            match value.get_ref() {
                DeValue::Table(table) => {
                    tables.push(Self::new(self.source, path, value.span(), table));
                }
                other => self.wrong(key, "an array of tables", other),
            }
        }
        tables
    }

    /// An array of strings.
    pub fn strings(&self, key: &str) -> Option<Vec<String>> {
        let value = self.value(key)?.get_ref();
        let DeValue::Array(array) = value else {
            self.wrong(key, "an array of strings", value);
            return None;
        };
        let strings: Vec<String> = array
            .iter()
            .filter_map(|value| match value.get_ref() {
                DeValue::String(written) => self.interpolated(key, written).map(|text| text.value),
                other => {
                    self.wrong(key, "an array of strings", other);
                    None
                }
            })
            .collect();
        (strings.len() == array.len()).then_some(strings)
    }

    /// A string, number or truth value as text: what librdkafka's properties are.
    pub fn scalar(&self, key: &str) -> Option<String> {
        match self.value(key)?.get_ref() {
            DeValue::String(written) => match self.source.interpolate(written) {
                Ok(value) => Some(value),
                Err(message) => {
                    self.problem(key, message);
                    None
                }
            },
            DeValue::Integer(number) => Some(number.as_str().replace('_', "")),
            DeValue::Float(number) => Some(number.as_str().to_owned()),
            DeValue::Boolean(value) => Some(value.to_string()),
            other => {
                self.wrong(key, "a string, a number or true or false", other);
                None
            }
        }
    }

    /// Keys that a later version may know: asked for, and a problem where they are there.
    pub fn unsupported(&self, keys: &[&str]) {
        for &key in keys {
            // Not through `value`: they are no keys of this version.
            if self.has(key) {
                self.asked.borrow_mut().insert(key.to_owned());
                self.problem(key, "is not supported by this version");
            }
        }
    }

    /// Notes every key that was not asked for.
    pub fn finish(self) {
        let asked = self.asked.borrow();
        for key in self.keys().filter(|key| !asked.contains(*key)) {
            let near = nearest(key, asked.iter().map(String::as_str));
            let hint = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
            self.problem(key, format!("is not a key that is known here{hint}"));
        }
    }
}

/// The number that a value is; infinities and NaN are none.
pub fn number(value: &DeValue<'_>) -> Option<f64> {
    let text = match value {
        DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
        DeValue::Float(number) => number.as_str(),
        _ => return None,
    };
    text.replace('_', "")
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}

/// The name most like `word`, if one is like it at all.
pub fn nearest<'n>(word: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let like = names.map(|name| (strsim::jaro_winkler(word, name), name));
    like.filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|b| b.1)
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time without quotes",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
