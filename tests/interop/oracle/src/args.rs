//! The command line: positional words and `--name value` pairs, nothing more.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use crate::Failure;

pub struct Args {
    words: std::vec::IntoIter<String>,
    flags: BTreeMap<String, String>,
}

impl Args {
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut words = Vec::new();
        let mut flags = BTreeMap::new();
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            match argument.strip_prefix("--") {
                Some(name) => {
                    let value =
                        arguments.next().ok_or_else(|| Failure::usage(format!("--{name} needs a value")))?;
                    flags.insert(name.to_owned(), value);
                }
                None => words.push(argument),
            }
        }
        Ok(Self { words: words.into_iter(), flags })
    }

    pub fn word(&mut self, what: &str) -> Result<String, Failure> {
        self.words.next().ok_or_else(|| Failure::usage(format!("missing {what}")))
    }

    pub fn directory(&mut self) -> Result<PathBuf, Failure> {
        Ok(PathBuf::from(self.word("DIR")?))
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.flags.get(name).map(String::as_str)
    }

    pub fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Failure> {
        self.text(name)
            .map(|text| text.parse().map_err(|_| Failure::usage(format!("--{name} {text}: not a number"))))
            .transpose()
    }

    pub fn number_or<T: FromStr>(&self, name: &str, default: T) -> Result<T, Failure> {
        Ok(self.number(name)?.unwrap_or(default))
    }

    pub fn required<T: FromStr>(&self, name: &str) -> Result<T, Failure> {
        self.number(name)?.ok_or_else(|| Failure::usage(format!("missing --{name}")))
    }
}
