//! Parameters that a tool wants repeated as headers: which ones its schema names, and what a header
//! says of an argument.
//!
//! Only the arguments that are named are read, so that no other one can hide them. Servers choose
//! their schemas, so the search has bounds.

use std::{borrow::Cow, collections::HashMap, ptr};

use super::{ANNOTATION, Mismatch, PARAM_PREFIX, decode, encode};
use crate::wire::{Needle, Object, RawValue, scan};

/// Headers that one tool may want.
const MOST: usize = 64;
/// Bytes of a schema that may have annotations.
const LONGEST: usize = 256 * 1024;
/// Objects in one another on the way to an annotation.
const DEEPEST: usize = 8;
/// Bytes of the property names that lead to one.
const LONGEST_PATH: usize = 1024;
/// Digits of a whole number that is written without an exponent.
const DIGITS: usize = 32;

/// A parameter that a tool wants repeated as a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotated {
    /// The header's full name, lower case.
    pub header: String,
    /// The property names that lead to the argument.
    path: Vec<String>,
}

/// Hears of a header and the JSON text of its argument.
type Tell<'t> = &'t mut dyn FnMut(&str, Option<&str>) -> Result<(), Mismatch>;

/// Whether a definition or a schema may have annotations; nearly none has.
pub fn is_annotated(json: &RawValue) -> bool {
    static ANNOTATED: Needle = Needle::new(ANNOTATION);
    ANNOTATED.is_in(json)
}

/// The header annotations of an input schema, reached through `properties` alone; `None` where one
/// of them breaks the rules, so that a client may not use the tool over HTTP (MCP 2026-07-28,
/// tools): no name of a header, one that stands there twice, or no value of one piece. Ours are that
/// there are at most 64, at most 8 objects deep under names of at most 1 KiB, in a schema of at most
/// 256 KiB.
pub fn annotated(input_schema: &RawValue) -> Option<Vec<Annotated>> {
    let mut found = Vec::new();
    if is_annotated(input_schema) {
        if input_schema.get().len() > LONGEST {
            return None;
        }
        let schema = Object::read(input_schema).unwrap_or_default();
        collect(&schema, &mut Vec::new(), &mut found)?;
    }
    Some(found)
}

fn collect(schema: &Object<'_>, path: &mut Vec<String>, found: &mut Vec<Annotated>) -> Option<()> {
    let Some(properties) = schema.object("properties") else {
        return Some(());
    };
    let last: HashMap<&str, &RawValue> = properties.members().collect();
    for (name, property) in properties.members().filter(|(_, property)| is_annotated(property)) {
        // Of a name that stands there twice the last one counts.
        if !last.get(name).is_some_and(|last| ptr::eq(last.get(), property.get())) {
            continue;
        }
        let Some(property) = Object::read(property) else { continue };
        path.push(name.to_owned());
        let bytes: usize = path.iter().map(String::len).sum();
        if path.len() > DEEPEST || bytes > LONGEST_PATH {
            return None;
        }
        if property.json(ANNOTATION).is_some() {
            let header = property.text(ANNOTATION).filter(|header| is_token(header))?;
            let header = format!("{PARAM_PREFIX}{}", header.to_ascii_lowercase());
            let is_taken = found.iter().any(|other| other.header == header);
            if is_taken || !is_of_one_piece(&property) || found.len() == MOST {
                return None;
            }
            found.push(Annotated { header, path: path.clone() });
        }
        collect(&property, path, found)?;
        path.pop();
    }
    Some(())
}

/// Whether a property can be a header: no list, no object, and no number with a fraction.
fn is_of_one_piece(property: &Object<'_>) -> bool {
    let kind = property.text("type");
    kind.is_none_or(|kind| matches!(&*kind, "string" | "integer" | "boolean"))
}

/// A token of RFC 9110, 5.6.2: what a header's name may consist of.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Checks the headers of annotated parameters against the arguments. Numbers are compared as
/// numbers, exactly; what is absent or null in the body has no header, nor has what no header can
/// say: a list, an object, half of a surrogate pair.
pub fn check_params<'h>(
    annotated: &[Annotated],
    arguments: Option<&RawValue>,
    find: impl Fn(&str) -> Result<Option<&'h str>, Mismatch>,
) -> Result<(), Mismatch> {
    let arguments = arguments.and_then(Object::read);
    each(annotated, 0, arguments.as_ref(), &mut |header, argument| {
        let argument = argument.filter(|json| *json != "null");
        match (find(header)?, argument, argument.and_then(said)) {
            (None, _, None) => Ok(()),
            (Some(_), None, _) => Err(Mismatch::Unexpected(header.to_owned())),
            (None, _, Some(_)) => Err(Mismatch::Missing(header.to_owned())),
            (Some(found), Some(json), said) => {
                let text = decode(found).ok_or_else(|| Mismatch::Encoding(header.to_owned()))?;
                let same = said.is_some_and(|said| said == text) || is_same_number(&text, json);
                if same { Ok(()) } else { Err(Mismatch::Differs(header.to_owned())) }
            }
        }
    })
}

/// The headers that repeat the arguments of annotated parameters: names and encoded values.
pub fn params(annotated: &[Annotated], arguments: Option<&RawValue>) -> Vec<(String, String)> {
    let arguments = arguments.and_then(Object::read);
    let mut headers = Vec::new();
    let told: Result<(), Mismatch> =
        each(annotated, 0, arguments.as_ref(), &mut |header, argument| {
            let text = argument.and_then(said);
            headers.extend(text.map(|text| (header.to_owned(), encode(&text).into_owned())));
            Ok(())
        });
    if told.is_ok() { headers } else { Vec::new() }
}

/// Tells each header with the JSON text of its argument, of paths that go on from here.
fn each(
    annotated: &[Annotated],
    depth: usize,
    object: Option<&Object<'_>>,
    tell: Tell<'_>,
) -> Result<(), Mismatch> {
    // They were found on a walk: those that share a beginning stand together, the shortest first.
    for group in annotated.chunk_by(|one, next| one.path.get(depth) == next.path.get(depth)) {
        let name = group.first().and_then(|first| first.path.get(depth));
        let value = name.and_then(|name| object?.json(name));
        let ending = group.iter().take_while(|it| it.path.len() == depth + 1);
        let mut below = group;
        for Annotated { header, .. } in ending {
            tell(header, value)?;
            below = below.split_first().map_or(below, |(_, rest)| rest);
        }
        if !below.is_empty() {
            each(below, depth + 1, value.and_then(Object::of).as_ref(), tell)?;
        }
    }
    Ok(())
}

/// What a header says of an argument; `None` for what none can say.
fn said(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first()? {
        b'"' => scan::text_of(json),
        b't' | b'f' => Some(Cow::Borrowed(json)),
        b'-' | b'0'..=b'9' => {
            let whole = Decimal::read(json).and_then(|number| number.whole());
            Some(whole.map_or(Cow::Borrowed(json), Cow::Owned))
        }
        _ => None,
    }
}

fn is_same_number(text: &str, json: &str) -> bool {
    Decimal::read(text).is_some_and(|number| Decimal::read(json) == Some(number))
}

/// A number as it is and not as a float holds it.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    /// Without zeros at either end; none for zero.
    digits: String,
    /// The power of ten that they are multiplied by.
    exponent: i64,
}

impl Decimal {
    /// Reads a number of JSON; `None` for other text and for exponents that nobody means.
    fn read(text: &str) -> Option<Self> {
        let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
            && text.ends_with(|last: char| last.is_ascii_digit())
            && serde_json::from_str::<&RawValue>(text).is_ok();
        if !is_number {
            return None;
        }
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let significant = all.trim_end_matches('0');
        let shift = i64::try_from(all.len() - significant.len()).ok()?
            - i64::try_from(fraction.len()).ok()?;
        let digits = significant.trim_start_matches('0').to_owned();
        let exponent = exponent.parse::<i64>().ok()?.checked_add(shift)?;
        let is_zero = digits.is_empty();
        Some(Self {
            negative: negative && !is_zero,
            digits,
            exponent: if is_zero { 0 } else { exponent },
        })
    }

    /// The digits of a whole number, where it is not so long that only a power of ten is meant.
    fn whole(&self) -> Option<String> {
        let zeros = usize::try_from(self.exponent).ok().filter(|zeros| *zeros <= DIGITS)?;
        let sign = if self.negative { "-" } else { "" };
        let digits = if self.digits.is_empty() { "0" } else { &self.digits };
        Some(format!("{sign}{digits}{}", "0".repeat(zeros)))
    }
}

#[cfg(test)]
mod tests;
