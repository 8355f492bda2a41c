//! Splits Claude Code's command line into options with their values, and other words.

use std::{
    borrow::Cow,
    ffi::{OsStr, OsString},
    ops::Range,
    os::unix::ffi::OsStrExt,
};

use super::table::{Arity, find_arity, is_option};

/// An argument that is not the value of an option.
pub(super) struct Part<'a> {
    /// Its position.
    pub at: usize,
    pub role: Role<'a>,
}

pub(super) enum Role<'a> {
    Option(CommandOption<'a>),
    /// A command or a part of the prompt.
    Word,
    /// `--`. All arguments after it are text.
    End,
}

pub(super) struct CommandOption<'a> {
    /// Its name with dashes. Only names are compared, so it may be converted lossily.
    pub name: Cow<'a, str>,
    /// The value after `=`.
    pub inline: Option<&'a OsStr>,
    /// Where the values after it are.
    pub values: Range<usize>,
    /// Whether it lacks a value.
    pub is_incomplete: bool,
}

/// Returns the parts of a command line, by the rules of Commander, Claude Code's argument parser. The last one is
/// [`Role::End`] if there is a `--`.
pub(super) fn walk(arguments: &[OsString]) -> impl Iterator<Item = Part<'_>> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let at = next;
        let argument = arguments.get(at)?;
        next += 1;
        if argument == "--" {
            next = arguments.len();
            return Some(Part { at, role: Role::End });
        }
        if !is_option(argument) {
            return Some(Part { at, role: Role::Word });
        }
        let equals = argument.as_bytes().iter().position(|&byte| byte == b'=');
        let equals = equals.filter(|_| argument.as_bytes().starts_with(b"--"));
        let (name, inline) = match equals {
            Some(equals) => {
                (&argument.as_bytes()[..equals], Some(OsStr::from_bytes(&argument.as_bytes()[equals + 1..])))
            }
            None => (argument.as_bytes(), None),
        };
        let name = String::from_utf8_lossy(name);
        let arity = find_arity(&name).filter(|_| inline.is_none());
        let following = &arguments[next..];
        let values = |required: usize, most: usize| {
            // The first value of an option that requires one may start with a dash.
            let more = following.iter().skip(required).take(most - required).take_while(|value| !is_option(value));
            (required + more.count()).min(following.len())
        };
        let count = match arity {
            None => 0,
            Some(Arity::One) => values(1, 1),
            Some(Arity::Optional) => values(0, 1),
            Some(Arity::Many) => values(1, usize::MAX),
        };
        let is_incomplete = count == 0 && matches!(arity, Some(Arity::One | Arity::Many));
        let values = next..next + count;
        next = values.end;
        Some(Part { at, role: Role::Option(CommandOption { name, inline, values, is_incomplete }) })
    })
}
