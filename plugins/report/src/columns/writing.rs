//! How texts are written that are numbers: which mark stands before the decimals, which between thousands, and which sign
//! of a currency beside them. It is asked for, or found where all values that were seen leave no doubt.

use std::borrow::Cow;

use super::text::is_address;

/// Signs of currencies that are found. What is written in letters has to be asked for: `SEK 100` may be an article.
const SIGNS: &str = "$€£¥₹₩₽₺₪₫₴₦₱฿₡₲₸₼₾₿";
/// A number has no more parts between marks.
const PARTS_MAX: usize = 12;
/// So many digits every floating-point number holds.
const DIGITS_MAX: usize = 15;

/// How the numbers of a column are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Writing {
    reading: Reading,
    /// What may stand before or behind a number.
    currency: Option<String>,
    /// It was found: each number has the currency's sign. Where it was asked for, it may have it.
    is_found: bool,
}

impl Default for Writing {
    /// `1234.5`.
    fn default() -> Self {
        Self::asked('.', None, None)
    }
}

impl Writing {
    pub(crate) fn asked(decimal: char, group: Option<char>, currency: Option<String>) -> Self {
        let group = group.map(mark_of);
        Self {
            reading: Reading { decimal, group },
            currency,
            is_found: false,
        }
    }

    /// Whether numbers are nothing but digits, a point, and what programs write.
    pub(crate) fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn has_points_between_thousands(&self) -> bool {
        self.reading.group == Some('.')
    }

    /// The number as programs write it, `-1234.5`, if it is written in this way. The marks between thousands may be left
    /// out. Whether what comes out is a number is for others to say.
    pub(super) fn plain<'t>(&self, text: &'t str) -> Option<Cow<'t, str>> {
        if self.currency.is_none() && self.reading == Self::default().reading {
            return Some(Cow::Borrowed(text));
        }
        let (sign, body) = self.without_currency(text)?;
        let mut plain = String::with_capacity(text.len());
        plain.push_str(sign);
        self.reading.write(body, !self.is_found, &mut plain)?;
        Some(Cow::Owned(plain))
    }

    /// The sign, and the digits with what stands between them.
    fn without_currency<'t>(&self, text: &'t str) -> Option<(&'t str, &'t str)> {
        let (outer, body) = sign(text);
        let Some(currency) = &self.currency else {
            return Some((outer, body));
        };
        let stripped = body
            .strip_prefix(currency.as_str())
            .or_else(|| body.strip_suffix(currency.as_str()))
            .map(trimmed);
        let body = match stripped {
            Some(body) => body,
            None if self.is_found => return None,
            None => body,
        };
        let (inner, body) = sign(body);
        if !outer.is_empty() && !inner.is_empty() {
            return None;
        }
        Some((if outer.is_empty() { inner } else { outer }, body))
    }
}

/// A leading sign, and the rest.
fn sign(text: &str) -> (&str, &str) {
    match text.as_bytes().first() {
        Some(b'-' | b'+') => text.split_at(1),
        _ => ("", text),
    }
}

fn trimmed(text: &str) -> &str {
    text.trim_matches(is_space)
}

fn is_space(char: char) -> bool {
    matches!(char, ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}')
}

/// Spaces of any width are one mark, and so are apostrophes.
fn mark_of(char: char) -> char {
    match char {
        '’' => '\'',
        char if is_space(char) => ' ',
        char => char,
    }
}

/// What the marks within a number mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    decimal: char,
    group: Option<char>,
}

impl Reading {
    /// Appends the number with a point, if its marks stand where they do in this reading: groups of three digits, or, where
    /// `with_lakhs`, of two before the last three.
    fn write(self, body: &str, with_lakhs: bool, to: &mut String) -> Option<()> {
        let (whole, fraction) = match body.split_once(self.decimal) {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (body, None),
        };
        let from = to.len();
        let is_group = |char: char| self.group == Some(mark_of(char));
        let mut lens = Vec::new();
        for part in whole.split(is_group) {
            lens.push(part.len());
            to.push_str(part);
        }
        let is_right = match lens.as_slice() {
            [_] => true,
            [first, between @ .., last] => {
                let is_split_by = |len: usize| {
                    (1..=len).contains(first) && between.iter().all(|it| *it == len) && *last == 3
                };
                is_split_by(3) || (with_lakhs && is_split_by(2))
            }
            [] => false,
        };
        if let Some(fraction) = fraction {
            to.push('.');
            to.push_str(fraction);
        }
        let digits = to.get(from..)?;
        let points = digits.bytes().filter(|byte| *byte == b'.').count();
        let is_number = digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
            && points == usize::from(fraction.is_some());
        (is_right && is_number && !digits.is_empty()).then_some(())
    }
}

/// The readings that may be found, the usual one first.
const READINGS: [Reading; 6] = [
    Reading {
        decimal: '.',
        group: Some(','),
    },
    Reading {
        decimal: ',',
        group: Some('.'),
    },
    Reading {
        decimal: '.',
        group: Some(' '),
    },
    Reading {
        decimal: ',',
        group: Some(' '),
    },
    Reading {
        decimal: '.',
        group: Some('\''),
    },
    Reading {
        decimal: ',',
        group: Some('\''),
    },
];
const MARKS: [char; 4] = ['.', ',', ' ', '\''];

/// Finds how the numbers of a column are written, if all of its values are numbers in one writing that leaves no doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Finder {
    /// A bit for each reading in which all values so far are numbers.
    readings: u8,
    /// A bit for each mark that was seen.
    marks: u8,
    currency: Option<Currency>,
    has_values: bool,
    /// A value has marks of both kinds, so that it is an amount and nothing else.
    has_proof: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Currency {
    sign: char,
    is_before: bool,
}

impl Default for Finder {
    fn default() -> Self {
        Self {
            readings: (1 << READINGS.len()) - 1,
            marks: 0,
            currency: None,
            has_values: false,
            has_proof: false,
        }
    }
}

impl Finder {
    pub(super) fn see(&mut self, text: &str) {
        if self.readings == 0 {
            return;
        }
        let amount = amount(text).filter(|_| !is_address(text));
        let Some((currency, parts)) = amount else {
            self.readings = 0;
            return;
        };
        if self.has_values && self.currency != currency {
            self.readings = 0;
            return;
        }
        self.currency = currency;
        self.has_values = true;
        for (bit, reading) in READINGS.iter().enumerate() {
            if !parts.fit(*reading) {
                self.readings &= !(1 << bit);
            }
        }
        let marks = parts.marks();
        self.marks |= marks;
        self.has_proof |= marks.count_ones() == 2;
    }

    /// How the numbers are written, if that is sure: every reading in which all values are numbers gives the same numbers,
    /// and they are amounts, by a currency's sign or by their marks.
    pub(super) fn found(&self) -> Option<Writing> {
        let mut readings = READINGS.iter().enumerate();
        let left = readings
            .by_ref()
            .filter(|(bit, _)| self.readings & (1 << bit) != 0);
        let left: Vec<Reading> = left.map(|(_, reading)| *reading).collect();
        let reading = *left.first()?;
        let agree = MARKS.iter().enumerate().all(|(bit, mark)| {
            let is_seen = self.marks & (1 << bit) != 0;
            !is_seen
                || left
                    .iter()
                    .all(|it| (it.decimal == *mark) == (reading.decimal == *mark))
        });
        let is_amount = self.has_values && (self.has_proof || self.currency.is_some());
        (agree && is_amount).then(|| Writing {
            reading,
            currency: self.currency.map(|currency| currency.sign.to_string()),
            is_found: true,
        })
    }

    /// Whether a number with decimals was seen, in this writing.
    pub(super) fn has_decimals(&self, writing: &Writing) -> bool {
        let place = MARKS
            .iter()
            .position(|mark| *mark == writing.reading.decimal);
        place.is_some_and(|bit| self.marks & (1 << bit) != 0)
    }
}

/// The digits of an amount, by how many stand before and between its marks.
struct Parts {
    lens: [u8; PARTS_MAX],
    marks: [char; PARTS_MAX],
    count: usize,
}

impl Parts {
    fn marks(&self) -> u8 {
        let marks = self.marks.get(1..self.count).unwrap_or_default().iter();
        marks.fold(0, |seen, mark| {
            let bit = MARKS.iter().position(|known| known == mark);
            seen | bit.map_or(0, |bit| 1 << bit)
        })
    }

    fn fit(&self, reading: Reading) -> bool {
        let parts = self
            .marks
            .iter()
            .zip(self.lens)
            .take(self.count)
            .enumerate();
        let first = self.lens.first().copied().unwrap_or(0);
        parts.skip(1).all(|(index, (mark, len))| {
            let is_last = index + 1 == self.count;
            (*mark == reading.decimal && is_last)
                || (Some(*mark) == reading.group && len == 3 && first <= 3)
        })
    }
}

/// An amount taken apart: digits, marks between them, and perhaps a currency's sign on one side.
fn amount(text: &str) -> Option<(Option<Currency>, Parts)> {
    let (outer, body) = sign(text);
    let at = |char: Option<char>, is_before| {
        let sign = char.filter(|char| SIGNS.contains(*char))?;
        Some(Currency { sign, is_before })
    };
    let currency = at(body.chars().next(), true).or_else(|| at(body.chars().next_back(), false));
    let body = match currency {
        None => body,
        Some(Currency {
            sign,
            is_before: true,
        }) => trimmed(body.strip_prefix(sign)?),
        Some(Currency { sign, .. }) => trimmed(body.strip_suffix(sign)?),
    };
    let (inner, body) = match outer.is_empty() {
        true => sign(body),
        false => (outer, body),
    };
    // What has leading zeros or a plus identifies something, and isn't counted.
    let has_leading_zero = body.starts_with('0')
        && body
            .chars()
            .nth(1)
            .is_some_and(|next| !matches!(next, '.' | ','));
    if inner == "+" || has_leading_zero {
        return None;
    }
    let mut parts = Parts {
        lens: [0; PARTS_MAX],
        marks: ['\0'; PARTS_MAX],
        count: 1,
    };
    let mut digits = 0;
    for char in body.chars() {
        if char.is_ascii_digit() {
            *parts.lens.get_mut(parts.count - 1)? += 1;
            digits += 1;
        } else {
            *parts.marks.get_mut(parts.count)? = mark_of(char);
            parts.count += 1;
        }
        if digits > DIGITS_MAX {
            return None;
        }
    }
    let is_whole = parts.lens.iter().take(parts.count).all(|len| *len > 0);
    is_whole.then_some((currency, parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the texts are as numbers, if their writing is found.
    fn found(texts: &[&str]) -> Option<Vec<String>> {
        let mut finder = Finder::default();
        texts.iter().for_each(|text| finder.see(text));
        let writing = finder.found()?;
        let plain = texts
            .iter()
            .map(|text| Some(writing.plain(text)?.into_owned()));
        Some(plain.collect::<Option<_>>().unwrap())
    }

    #[test]
    fn amounts_are_found_where_nothing_else_can_be_meant() {
        for (texts, expected) in [
            (
                &["1,234.50", "7", "-0.5"][..],
                &["1234.50", "7", "-0.5"][..],
            ),
            (
                &["1.234,50", "0,99", "12.345"],
                &["1234.50", "0.99", "12345"],
            ),
            (&["1 234,50", "12"], &["1234.50", "12"]),
            (&["1\u{202f}234\u{202f}567,5"], &["1234567.5"]),
            (&["1'234.50", "1’000"], &["1234.50", "1000"]),
            (&["$12.50", "-$7", "$-1,234"], &["12.50", "-7", "-1234"]),
            (&["12,50 €", "1.234\u{a0}€"], &["12.50", "1234"]),
            (&["€1,234,567"], &["1234567"]),
            (&["¥ 5"], &["5"]),
            (&["1 234 €"], &["1234"]),
            // The one value says what the mark of the other is.
            (&["$1,234", "$1.5"], &["1234", "1.5"]),
        ] {
            let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
            assert_eq!(found(texts), Some(expected), "{texts:?}");
        }
    }

    #[test]
    fn what_may_be_meant_otherwise_is_no_amount() {
        for texts in [
            // A thousand, or one and a bit.
            &["1,234"][..],
            &["$1,234", "$5"],
            &["€1.234"],
            // Lists, telephone numbers, addresses, numbers of articles.
            &["100,200,300"],
            &["800 123 456", "12"],
            &["192.168.100.200"],
            &["1.234,5", "192.168.100.200"],
            &["01.234,5"],
            &["007"],
            &["+1,234.50"],
            // Two currencies, and one that isn't everywhere.
            &["$5", "€5"],
            &["$5", "5"],
            &["5$", "$5"],
            &["SEK 100"],
            // Marks that contradict each other, or stand elsewhere.
            &["1,234.50", "1.234,50"],
            &["1,23.50"],
            &["12,345,67.8"],
            &["1,234.5.6"],
            &["1234,567.5"],
            &["$"],
            &["1,234.50", ""],
            &["1,234.50", "x"],
            &["1,234,567,890,123,456.50"],
        ] {
            assert_eq!(found(texts), None, "{texts:?}");
        }
        assert_eq!(Finder::default().found(), None);
    }

    #[test]
    fn what_was_asked_for_is_taken_where_it_is_and_where_it_is_not() {
        let plain = |decimal, group, currency: Option<&str>, text| {
            let writing = Writing::asked(decimal, group, currency.map(str::to_owned));
            writing.plain(text).map(Cow::into_owned)
        };
        for (decimal, group, currency, text, expected) in [
            ('.', Some(','), None, "1,234", Some("1234")),
            ('.', Some(','), None, "1234", Some("1234")),
            ('.', Some(','), None, "12,34,567.5", Some("1234567.5")),
            ('.', Some(','), None, "12,34", None),
            ('.', Some(','), None, "1,2345", None),
            ('.', Some(','), None, ",234", None),
            ('.', Some(' '), None, "1\u{a0}234.5", Some("1234.5")),
            (
                '.',
                Some('\''),
                Some("CHF"),
                "CHF 1’234.50",
                Some("1234.50"),
            ),
            ('.', Some(','), Some("EUR"), "EUR-5", Some("-5")),
            ('.', Some(','), Some("EUR"), "5", Some("5")),
            ('.', Some(','), Some("EUR"), "-EUR-5", None),
            ('.', Some(','), Some("EUR"), "USD 5", None),
            (',', Some('.'), None, "1.234,5", Some("1234.5")),
            (',', Some('.'), None, "-1.234.567", Some("-1234567")),
            (',', Some('.'), None, "0,5", Some("0.5")),
            (',', Some('.'), None, "1.2345", None),
            (',', Some('.'), None, "1,2,3", None),
            (',', Some('.'), None, ".123", None),
            (',', Some('.'), None, "1.23", None),
            (',', Some('.'), None, "1,5e3", None),
            (',', Some('.'), None, "1234.567", None),
            (',', Some('.'), None, "a", None),
            (',', Some('.'), None, "-", None),
            (',', Some('.'), None, "", None),
        ] {
            let expected = expected.map(str::to_owned);
            assert_eq!(plain(decimal, group, currency, text), expected, "{text}");
        }
    }
}
