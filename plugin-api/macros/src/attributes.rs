//! The keys of `#[plugin(…)]` and `#[handler(…)]`.

use proc_macro2::TokenStream;
use syn::{
    Attribute, Error, Expr, ExprLit, Lit, LitStr, Meta, Result,
    meta::{self, ParseNestedMeta},
    parse::Parser,
};

/// Longest name, in bytes: a longer one is a mistake, and makes log lines unreadable.
const NAME_LEN_MAX: usize = 128;

const PLUGIN_KEYS: &str =
    "unknown key: `#[plugin(…)]` takes `name = \"…\"`, `cpu_bound` and `slots = 8`";
const HANDLER_KEYS: &str =
    "unknown key: `#[handler(…)]` takes `name = \"…\"` and `timeout = \"30s\"`";
/// The most slots of a worker. plugin-api compares it with its own whenever a plugin is compiled.
pub(crate) const SLOTS_MAX: u32 = 256;
const TIMEOUT_SHAPE: &str = "a time limit is a whole number, at least 1, and `ms`, `s`, `m` or `h`: \
    write `timeout = \"30s\"`";

/// `#[plugin(name = "…", cpu_bound, slots = 8)]`
#[derive(Default)]
pub(crate) struct PluginKeys {
    pub(crate) name: Option<String>,
    pub(crate) cpu_bound: bool,
    pub(crate) slots: Option<u32>,
}

impl PluginKeys {
    pub(crate) fn parse(tokens: TokenStream) -> Result<Self> {
        let mut keys = Self::default();
        let parser = meta::parser(|meta| {
            if meta.path.is_ident("name") {
                let name: LitStr = meta.value()?.parse()?;
                check_name(&name, "a plugin", "")?;
                set_once(&mut keys.name, name.value(), &meta)
            } else if meta.path.is_ident("cpu_bound") {
                keys.cpu_bound = true;
                Ok(())
            } else if meta.path.is_ident("slots") {
                let slots: Lit = meta.value()?.parse()?;
                let number = match &slots {
                    Lit::Int(number) => number.base10_parse().ok(),
                    _ => None,
                };
                match number {
                    Some(number) if (1..=SLOTS_MAX).contains(&number) => {
                        set_once(&mut keys.slots, number, &meta)
                    }
                    _ => {
                        let text = format!(
                            "`slots` is a whole number from 1 to {SLOTS_MAX}: write `slots = 8`"
                        );
                        Err(Error::new_spanned(slots, text))
                    }
                }
            } else {
                Err(meta.error(PLUGIN_KEYS))
            }
        });
        parser.parse2(tokens)?;
        Ok(keys)
    }
}

/// `#[handler(name = "…", timeout = "30s")]`
#[derive(Default)]
pub(crate) struct HandlerKeys {
    pub(crate) name: Option<String>,
    pub(crate) timeout_ms: Option<u64>,
}

impl HandlerKeys {
    pub(crate) fn parse(attribute: &Attribute) -> Result<Self> {
        let mut keys = Self::default();
        if matches!(attribute.meta, Meta::Path(_)) {
            return Ok(keys);
        }
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                let name: LitStr = meta.value()?.parse()?;
                check_name(&name, "a function", ".:/")?;
                set_once(&mut keys.name, name.value(), &meta)
            } else if meta.path.is_ident("timeout") {
                let timeout: Lit = meta.value()?.parse()?;
                let timeout_ms = match &timeout {
                    Lit::Str(text) => duration_ms(&text.value()),
                    _ => None,
                };
                let timeout_ms =
                    timeout_ms.ok_or_else(|| Error::new_spanned(&timeout, TIMEOUT_SHAPE))?;
                set_once(&mut keys.timeout_ms, timeout_ms, &meta)
            } else {
                Err(meta.error(HANDLER_KEYS))
            }
        })?;
        Ok(keys)
    }
}

fn set_once<T>(slot: &mut Option<T>, value: T, meta: &ParseNestedMeta<'_>) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(meta.error("this key is given twice; write it once")),
    }
}

fn check_name(name: &LitStr, whose: &str, punctuation: &str) -> Result<()> {
    let text = name.value();
    let allowed = |c: char| c.is_alphanumeric() || c == '_' || c == '-' || punctuation.contains(c);
    if !text.is_empty() && text.len() <= NAME_LEN_MAX && text.chars().all(allowed) {
        return Ok(());
    }
    let punctuation: String = punctuation.chars().map(|c| format!(" `{c}`")).collect();
    Err(Error::new_spanned(
        name,
        format!(
            "the name of {whose} has 1 to {NAME_LEN_MAX} letters, digits, `_` `-`{punctuation}, and no other characters"
        ),
    ))
}

/// Milliseconds of "30s"; `None` if it is not a time limit.
fn duration_ms(text: &str) -> Option<u64> {
    let digits_len = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits_len);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    number.checked_mul(unit_ms).filter(|&ms| ms > 0)
}

/// The text of the doc comments among `attributes`.
pub(crate) fn description(attributes: &[Attribute]) -> String {
    let lines = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
                Expr::Lit(ExprLit {
                    lit: Lit::Str(text),
                    ..
                }) => Some(text.value()),
                _ => None,
            },
            _ => None,
        });
    let lines: Vec<String> = lines
        .flat_map(|text| {
            let lines = text
                .lines()
                .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned());
            // An empty line of a comment is an empty text, which has no lines.
            if text.is_empty() {
                vec![String::new()]
            } else {
                lines.collect()
            }
        })
        .collect();
    lines.join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    #[test]
    fn time_limits_are_read_with_their_unit() {
        let good = [
            ("1ms", 1),
            ("30s", 30_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
        ];
        for (text, ms) in good {
            assert_eq!(duration_ms(text), Some(ms), "{text}");
        }
        for text in [
            "",
            "30",
            "s",
            "0s",
            "-1s",
            "1.5s",
            "30 s",
            "1d",
            "99999999999999999999s",
            "18446744073709551615s",
        ] {
            assert_eq!(duration_ms(text), None, "{text}");
        }
    }

    #[test]
    fn doc_comments_become_a_description() {
        let method: syn::ImplItemFn = parse_quote! {
            /// Sends one message.
            ///
            ///   Indented.
            #[inline]
            /// The end.
            fn f() {}
        };
        assert_eq!(
            description(&method.attrs),
            "Sends one message.\n\n  Indented.\nThe end."
        );
        assert_eq!(description(&[]), "");
    }

    #[test]
    fn plugin_keys_are_all_optional() {
        let keys = PluginKeys::parse(TokenStream::new()).unwrap();
        assert_eq!((keys.name, keys.cpu_bound, keys.slots), (None, false, None));
        let keys = PluginKeys::parse(quote::quote!(name = "a-b", cpu_bound, slots = 8)).unwrap();
        assert_eq!(
            (keys.name.as_deref(), keys.cpu_bound, keys.slots),
            (Some("a-b"), true, Some(8))
        );
    }
}
