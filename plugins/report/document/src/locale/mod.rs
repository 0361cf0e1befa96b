//! What the five languages of reports write in which way: words, numbers, dates. Numbers and dates are written as the
//! Unicode consortium's CLDR has it, but for these: short dates have years of four digits, since 05.09.26 may be any of
//! three days; a currency has as many decimals as ISO 4217 says, so that no figure is cut.
//!
//! The Unicode library with the data of all languages would add megabytes to the plugin.

mod de;
mod en;
mod fr;
mod ja;

use crate::model::Locale;

/// The words of a language, and how it writes numbers and dates.
#[derive(Debug)]
pub(crate) struct Language {
    /// The language tag, such as `en-GB`.
    pub(crate) tag: &'static str,
    /// Between groups of three digits.
    pub(crate) group: &'static str,
    /// Before the decimals.
    pub(crate) decimal: &'static str,
    /// After a share, with its space.
    pub(crate) percent: &'static str,
    /// Whether a currency's sign stands before the number.
    pub(crate) currency_first: bool,
    pub(crate) months: [&'static str; 12],
    pub(crate) months_short: [&'static str; 12],
    /// Beginning with Monday.
    pub(crate) days: [&'static str; 7],
    pub(crate) days_short: [&'static str; 7],
    /// Patterns of dates: short, medium, long, full.
    pub(crate) dates: [&'static str; 4],
    /// The pattern of a time without seconds.
    pub(crate) time: &'static str,
    /// The pattern of a time with seconds.
    pub(crate) time_seconds: &'static str,
    /// Between date and time, for each of the patterns of dates.
    pub(crate) date_times: [&'static str; 4],
    /// Before noon and after.
    pub(crate) half_days: [&'static str; 2],
    /// True and false.
    pub(crate) yes_no: [&'static str; 2],
    pub(crate) total: &'static str,
    /// `{group}` stands for the group.
    pub(crate) subtotal: &'static str,
    pub(crate) no_rows: &'static str,
    pub(crate) no_data: &'static str,
    pub(crate) chart_data: &'static str,
    pub(crate) data_of_chart: &'static str,
    pub(crate) overview: &'static str,
    pub(crate) table: &'static str,
    pub(crate) chart: &'static str,
}

impl Locale {
    /// Its words and patterns.
    pub(crate) fn language(self) -> &'static Language {
        match self {
            Self::En => &en::EN,
            Self::EnGb => &en::EN_GB,
            Self::De => &de::DE,
            Self::Fr => &fr::FR,
            Self::Ja => &ja::JA,
        }
    }

    /// The language tag, such as `en-GB`.
    #[must_use]
    pub fn tag(self) -> &'static str {
        self.language().tag
    }
}

impl Language {
    /// The label of a group's subtotal.
    pub(crate) fn subtotal_of(&self, group: &str) -> String {
        self.subtotal.replace("{group}", group)
    }
}
